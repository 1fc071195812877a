-- Tables, strings, closures and a small parser; what is printed does not depend on the order of `pairs`.
local state = 42
local function random(n)
  state = (state * 1103515245 + 12345) % 2147483648
  return state // 65536 % n
end

local function checksum(text)
  local sum = 7
  for i = 1, #text do sum = (sum * 31 + text:byte(i)) % 4294967296 end
  return sum
end

-- Words into a dictionary of counts, then sorted.
local counts, parts = {}, {}
for i = 1, 120000 do
  local word = string.format("w%04x-%d", random(6000), i % 7)
  counts[word] = (counts[word] or 0) + 1
  if i % 3 == 0 then parts[#parts + 1] = word:upper() .. ";" .. i end
end
local words = {}
for word, n in pairs(counts) do words[#words + 1] = { word = word, n = n } end
table.sort(words, function(a, b) return a.n > b.n or (a.n == b.n and a.word < b.word) end)
local text = table.concat(parts, ",")
print("words", #words, words[1].word, words[1].n, words[#words].word, #text, checksum(text))

-- The text taken apart again.
local fields, sum = {}, 0
for word, number in text:gmatch("([^;,]+);(%d+)") do
  sum = sum + tonumber(number)
  fields[#fields + 1] = word:lower():gsub("%-", "_")
end
print("fields", #fields, sum, fields[777])

-- Trees built and dropped.
local function tree(depth)
  if depth == 0 then return { 1 } end
  return { tree(depth - 1), tree(depth - 1), tag = depth }
end
local function count(node)
  if node.tag == nil then return node[1] end
  return count(node[1]) + count(node[2])
end
local leaves = 0
for depth = 4, 13 do
  for _ = 1, 2 ^ (13 - depth) do leaves = leaves + count(tree(depth)) end
end
print("leaves", leaves)

-- Serialised and read back.
local function serialise(value, out)
  if type(value) ~= "table" then out[#out + 1] = string.format("%q", value) return out end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  out[#out + 1] = "{"
  for _, key in ipairs(keys) do
    out[#out + 1] = "[" .. string.format("%q", key) .. "]="
    serialise(value[key], out)
    out[#out + 1] = ","
  end
  out[#out + 1] = "}"
  return out
end
local records = {}
for i = 1, 4000 do
  records[i] = { id = i, name = "n" .. random(100000), at = { x = random(97), y = random(89) }, tags = { "a" .. i % 5, "b" .. i % 11 } }
end
local dump = table.concat(serialise(records, {}))
local again = table.concat(serialise(load("return " .. dump)(), {}))
assert(dump == again)
print("dump", #dump, checksum(dump))

-- Closures and coroutines.
local total = 0
for i = 1, 3000 do
  local step = coroutine.wrap(function(a) for k = 1, 10 do a = coroutine.yield(a + k) end return 0 end)
  local value = i
  for _ = 1, 10 do value = step(value) end
  total = total + value
end
print("coroutines", total)
