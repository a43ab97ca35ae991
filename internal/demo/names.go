package demo

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// person is somebody with a name and a mail address.
type person struct{ name, mail, country string }

var (
	latinGiven  = []string{"Ana", "Björn", "Chloé", "Dmitri", "Elena", "François", "Grace", "Håkon", "Inés", "Jürgen", "Łukasz", "Zoë"}
	latinFamily = []string{"Almeida", "Brandt", "Çelik", "Dvořák", "García", "Müller", "Nowak", "O'Brien", "Østergård", "Smith"}
	latinFrom   = []string{"DE", "ES", "FR", "GB", "PL", "SE", "US"}
	hanFamily   = []string{"王", "李", "张", "刘", "陈", "杨", "黄", "欧阳"}
	hanGiven    = []string{"伟", "芳", "娜", "秀英", "敏", "静", "丽", "强", "磊", "洋", "建国", "小明"}
	hanFrom     = []string{"CN", "HK", "SG", "TW"}
	companies   = []string{"上海远景贸易有限公司", "深圳市华强电子", "北京天元科技", "Acme Ltd.", "Brandt & Söhne GmbH", "Nordlys AS", "García Hermanos S.L.", "Smith \"Tools\" Inc."}
	origins     = []string{"web", "fair", "referral", "campaign", "partner"}
	tiers       = []string{"bronze", "silver", "gold"}
	channels    = []string{"web", "web", "phone", "marketplace"}
	currencies  = []string{"EUR", "EUR", "USD", "CNY"}
	taxRates    = []string{"0.1900", "0.0700", "0.1300", "0.0000"}
	locations   = []string{"Hamburg", "上海", "Rotterdam", "深圳"}
	comments    = []string{"call back on Monday", "请在下午联系", "wants a sample", "budget approved 👍", "价格需要再谈"}
)

// goods are the catalogue's kinds of products.
var goods = []struct{ name, category, text string }{
	{"无线机械键盘", "electronics", "可充电,中英文键帽"},
	{"Wireless mouse", "electronics", "Quiet switches, USB-C"},
	{"不锈钢保温杯", "household", "保温十二小时"},
	{"Café-Kanne", "household", "Doppelwandig, 1 l"},
	{"人体工学办公椅", "furniture", "腰部支撑可调"},
	{"Standing desk", "furniture", "Height 62–127 cm"},
	{"绿茶礼盒", "food", "西湖龙井,春茶"},
	{"Jamón ibérico", "food", "36 meses de curación"},
}

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// maybe returns v, or null once in n times.
func maybe(r *rand.Rand, n int, v any) any {
	if r.IntN(n) == 0 {
		return nil
	}
	return v
}

// between is an amount with this many decimals, as exact text.
func between(r *rand.Rand, low, high, decimals int) string {
	scale := 1
	for range decimals {
		scale *= 10
	}
	return amount(int64(low*scale+r.IntN((high-low)*scale)), decimals)
}

// amount writes a number of the smallest units, like cents.
func amount(units int64, decimals int) string {
	digits := fmt.Sprintf("%0*d", decimals+1, units)
	return digits[:len(digits)-decimals] + "." + digits[len(digits)-decimals:]
}

// somebody invents a person; n makes the address unique. One address in twenty-five is a tester's.
func somebody(r *rand.Rand, n int64) person {
	host := pick(r, []string{"Example.com", "example.org", "mail.example"})
	if r.IntN(25) == 0 {
		host = "test.example"
	}
	if r.IntN(2) == 0 {
		return person{pick(r, hanFamily) + pick(r, hanGiven), fmt.Sprintf("user%d@%s", n, host), pick(r, hanFrom)}
	}
	given, family := pick(r, latinGiven), pick(r, latinFamily)
	local := strings.Map(func(c rune) rune {
		if c > 'z' || c == '\'' {
			return -1
		}
		return c
	}, given+"."+family)
	return person{given + " " + family, fmt.Sprintf("%s%d@%s", local, n, host), pick(r, latinFrom)}
}

func phone(r *rand.Rand) string {
	return fmt.Sprintf("+%d %d", 30+r.IntN(60), 1_000_000+r.IntN(9_000_000))
}
