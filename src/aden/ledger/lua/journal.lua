-- A page of the journal, oldest first.
-- ARGV: time, the entry before the page or '-', how many entries. Answer: the stream's entries.

local from = ARGV[2] == '-' and '-' or '(' .. ARGV[2]
return redis.call('XRANGE', BASE .. ':journal', from, '+', 'COUNT', ARGV[3])
