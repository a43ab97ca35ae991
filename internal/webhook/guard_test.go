package webhook

import (
	"testing"

	"syncline"
)

// TestPrivateAddressesAreRefusedAfterResolution: what counts is where the connection would go, not how the host is written.
func TestPrivateAddressesAreRefusedAfterResolution(t *testing.T) {
	for _, url := range []string{
		"https://127.0.0.1:9/hook", "https://localhost:9/hook", "https://[::1]:9/", "https://[::ffff:169.254.169.254]/", "https://0.0.0.0:9/", "https://[::]:9/",
		"https://100.64.0.1/", "https://[fd00::1]/", "https://[64:ff9b::a9fe:a9fe]/",
	} {
		target, err := Open(t.Context(), Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		_, err = target.Apply(t.Context(), write(1))
		if syncline.CodeOf(err) != "address_refused" || syncline.ClassOf(err) != syncline.Fatal {
			t.Errorf("Apply to %s = %v, want address_refused", url, err)
		}
		found := target.Check(t.Context())
		if len(found) == 0 || found[0].Level != "fail" || found[0].Code != "address_refused" {
			t.Errorf("Check of %s = %+v, want address_refused", url, found)
		}
	}
}
