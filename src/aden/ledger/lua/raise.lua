-- Raise a budget's limit. ARGV[5]: budget, limit or ''.

local budget, limit = ARGV[5], tonumber(ARGV[6])
local marks = marks_of(budget)
note(clock(), 'raise', budget, '', '', marks.raised, limit)
marks.raised, marks.epoch = limit, marks.epoch + 1
set_marks(budget, marks)
save()
return answer(1)
