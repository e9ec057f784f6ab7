"""The contract shared by both ends: regions, tasks, coding, assembly and wire format. Pure."""
