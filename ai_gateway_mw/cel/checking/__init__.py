"""The checker's rules, one module a family of nodes: each gives the node that is meant and its type."""
