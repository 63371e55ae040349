"""The documents that follow from rules, contract and drills, and what is to be known of those written by hand."""
