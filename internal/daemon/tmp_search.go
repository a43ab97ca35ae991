package daemon

type searchServer struct{}

func (*searchServer) Close() error { return nil }
