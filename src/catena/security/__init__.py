"""Who a process is to peers on other machines, and who may call it: values, without gRPC."""
