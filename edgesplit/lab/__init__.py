"""The lab: an emulated cluster on one Linux machine, with real hosts, real sshd, shaped links."""
