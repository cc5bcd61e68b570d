"""From records to a plan: candidates, how their errors combine, and the choice. Needs no torch."""
