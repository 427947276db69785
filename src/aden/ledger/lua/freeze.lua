-- Refuse all that costs on a budget, or no more. ARGV[5]: budget, '1' or '0'.

local budget = ARGV[5]
local marks = marks_of(budget)
marks.frozen = ARGV[6] == '1'
set_marks(budget, marks)
note(clock(), marks.frozen and 'freeze' or 'unfreeze', budget, '', '')
save()
return answer(1)
