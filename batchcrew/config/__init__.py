"""What can be set, with every default once; and what kickoffs cost."""
