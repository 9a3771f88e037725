"""From overrides to checked jobs, and what each of them needs."""
