//go:build plant_echo_is_change

package plant

// EchoIsChange: a two-way rule forgets what the other side held when it wrote, and takes that for a change.
const EchoIsChange = true
