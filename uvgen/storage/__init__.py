"""Files that are whole or not there: replaced at once, locked, hashed. Object stores come here."""
