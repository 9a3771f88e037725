"""Papers, their claims, and what runs say about them."""
