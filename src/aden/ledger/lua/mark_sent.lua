-- Note whether the request has left.
-- ARGV: time, operation, '1' or '0'.

local operation = read(ARGV[2])
if operation then
  operation.sent = ARGV[3] == '1'
  write(ARGV[2], operation)
end
return 1
