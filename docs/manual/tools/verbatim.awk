# Lines as they are, in roff.
BEGIN { print ".EX" }
{ print roff($0) }
END { print ".EE" }
