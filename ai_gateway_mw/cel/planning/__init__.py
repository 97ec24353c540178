"""The planner's rules, one module a family of nodes: each gives Python source for the value of a node."""
