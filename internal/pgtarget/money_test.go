package pgtarget

import (
	"fmt"
	"testing"

	"syncline"
)

// TestMoneyOfOtherLocales: what the server would take for another amount is refused, what it writes itself, and plain numbers, are not.
func TestMoneyOfOtherLocales(t *testing.T) {
	t.Parallel()
	us, german, yen := moneyOf("$1,234,567.89", "-$1,234,567.89"), moneyOf("1.234.567,89 €", "-1.234.567,89 €"), moneyOf("￥1,234,568", "-￥1,234,568")
	chile, brackets, bare := moneyOf("$1.234.568", "$-1.234.568"), moneyOf("$1,234,567.89", "($1,234,567.89)"), moneyOf("1234567.89", "-1234567.89")
	for _, tt := range []struct {
		m    *money
		text string
		want bool
	}{
		{us, "$0.00", true}, {us, "$12.50", true}, {us, "-$12.50", true}, {us, "$1,234.50", true}, {us, "$12,345,678.00", true}, {us, "$123.00", true},
		{us, "12.5", true}, {us, "-12", true}, {us, "12345678.99", true}, {us, "12.345", false}, {us, "12,50 €", false}, {us, "$12,50", false},
		{us, "$1.234,50", false}, {us, "$1,23.50", false}, {us, "$1234.50", false}, {us, "$1,234", false}, {us, "", false}, {us, "$", false}, {us, "1e3", false},
		{german, "12,50 €", true}, {german, "-1.234,50 €", true}, {german, "12", true}, {german, "12.50", false}, {german, "12.50 €", false}, {german, "$12.50", false},
		{yen, "￥1,234", true}, {yen, "1234", true}, {yen, "12.50", false}, {yen, "￥12.50", false}, {yen, "￥12,50", false},
		{chile, "$12.50", false}, {chile, "$1.250", true}, {chile, "$-1.250", true}, {chile, "$12", true},
		{brackets, "($1,234.50)", true}, {brackets, "-$1,234.50", false},
		{bare, "1234.50", true}, {bare, "-0.01", true}, {bare, "1,234.50", false},
	} {
		if got := tt.m.holds(tt.text); got != tt.want {
			t.Errorf("%+v holds %q = %v, want %v", *tt.m, tt.text, got, tt.want)
		}
	}
	for text, want := range map[string]bool{`{}`: true, `{$1.00,NULL,"$1,234.50"}`: true, `{$1.00,"12,50 €"}`: false, `{{"$1,234.50"},{$12.345}}`: false} {
		if got := us.eachMoney(text); got != want {
			t.Errorf("an array of %s = %v, want %v", text, got, want)
		}
	}
}

// TestMoneyIsTheSameOrWaits: a PostgreSQL source writes it by its own locale.
func TestMoneyIsTheSameOrWaits(t *testing.T) {
	r := newRig(t, Options{PostgresSource: true}, "CREATE TABLE a (id int PRIMARY KEY, v money, list money[])")
	s := &syncline.Schema{Entity: "e", Key: []int{0}, Version: -1, Columns: []syncline.Column{{Name: "id", Kind: syncline.KindInt, Type: "integer"},
		{Name: "v", Kind: syncline.KindRaw, Type: "money", Nullable: true}, {Name: "list", Kind: syncline.KindArray, Elem: syncline.KindRaw, Type: "money[]", Nullable: true}}}
	write := func(id int64, v, list string) error {
		return r.apply(false, syncline.Change{Op: syncline.ChangePut, Object: "a", Row: syncline.Row{Schema: s, Values: []syncline.Value{syncline.Int(id),
			syncline.Raw(syncline.KindRaw, []byte(v)), syncline.Raw(syncline.KindArray, []byte(list))}}})
	}
	if err := write(1, "-$1,234.50", `{$0.01,"$1,000.00"}`); err != nil {
		t.Fatal(err)
	}
	for i, v := range []string{"$12,50", "$1.234,50", "$1,2"} { // the server takes them
		wantError(t, write(2, v, "{}"), syncline.Rejected, "value_inexact")
		wantError(t, write(int64(3+i), "$0.00", `{"`+v+`"}`), syncline.Rejected, "value_inexact")
	}
	r.rows("SELECT id, v::numeric, list[2]::numeric FROM a", fmt.Sprintf("(%d,-1234.50,1000.00)", 1))
}
