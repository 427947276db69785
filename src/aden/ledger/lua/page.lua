-- A page of the journal or the audit table, oldest first.
-- ARGV: time, 'journal' or 'audit', the entry before the page or '-', how many entries, the unix
-- millisecond of the first where the server's clock counts. Answer: the stream's entries.

local from = ARGV[3] == '-' and ARGV[5] or '(' .. ARGV[3]
return redis.call('XRANGE', BASE .. ':' .. ARGV[2], from, '+', 'COUNT', ARGV[4])
