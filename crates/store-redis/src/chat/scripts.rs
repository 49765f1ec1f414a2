//! What a history goes through, each in one step on the server.
//!
//! `KEYS` is the session's list. The first argument is always how many milliseconds the session is kept from now on;
//! 0 leaves that as it is. The commands that look at a list refuse a key of another type before anything is changed.
//!
//! A list has no command that takes or puts one element by its place: a marker that no element equals is set there,
//! and named to the commands that go by value. They look at no more elements than the list has.

use crate::script::Script;

/// Pushes `ARGV[2..]` at the end. Lua hands over some thousands of values at once, not more.
pub(super) static APPEND: Script = Script::new(
    "for i = 2, #ARGV, 1000 do
  redis.call('RPUSH', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
if ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return #ARGV - 1",
);

/// Puts `ARGV[2..]` in place of all.
pub(super) static REPLACE: Script = Script::new(
    "redis.call('LLEN', KEYS[1])
redis.call('UNLINK', KEYS[1])
for i = 2, #ARGV, 1000 do
  redis.call('RPUSH', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
if ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return #ARGV - 1",
);

/// Removes all; answers whether there was any.
pub(super) static DELETE: Script = Script::new(
    "if redis.call('LLEN', KEYS[1]) == 0 then return 0 end
return redis.call('UNLINK', KEYS[1])",
);

/// Removes the element at the place `ARGV[2]` if it is `ARGV[3]`: 1. Else answers what stands there, if anything
/// does. `ARGV[4]` is a marker.
pub(super) static REMOVE: Script = Script::new(
    "local there = redis.call('LINDEX', KEYS[1], ARGV[2])
if there ~= ARGV[3] then return there end
if ARGV[2] == '0' then
  redis.call('LPOP', KEYS[1])
elseif ARGV[2] == '-1' then
  redis.call('RPOP', KEYS[1])
else
  redis.call('LSET', KEYS[1], ARGV[2], ARGV[4])
  redis.call('LREM', KEYS[1], tonumber(ARGV[2]) < 0 and -1 or 1, ARGV[4])
end
if ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1",
);

/// Inserts `ARGV[4]` before the place `ARGV[2]`, as Python's lists do it. `ARGV[3]` is a marker.
pub(super) static INSERT: Script = Script::new(
    "local length = redis.call('LLEN', KEYS[1])
local at = tonumber(ARGV[2])
if at < 0 then at = math.max(length + at, 0) end
if at >= length then
  redis.call('RPUSH', KEYS[1], ARGV[4])
elseif at == 0 then
  redis.call('LPUSH', KEYS[1], ARGV[4])
else
  local there = redis.call('LINDEX', KEYS[1], at)
  redis.call('LSET', KEYS[1], at, ARGV[3])
  redis.call('LINSERT', KEYS[1], 'BEFORE', ARGV[3], ARGV[4])
  redis.call('LSET', KEYS[1], at + 1, there)
end
if ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return length + 1",
);
