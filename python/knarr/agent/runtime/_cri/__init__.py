"""Messages of the CRI and of containerd's events, generated: see tools/gen_cri.py."""
