-- Long random names below one domain.

local MIN_LENGTH = { TXT = 50, NULL = 50, CNAME = 60, A = 70, AAAA = 70 }
local MIN_ENTROPY = 3.2 -- bits per character; words are below, base32 and hex above

-- The last two labels, and what stands before them.
local function split_domain(query)
    local sub, domain = string.match(query, "^(.+)%.([^.]+%.[^.]+)%.?$")
    return sub, domain
end

-- Shannon entropy of a text in bits per character.
local function entropy(text)
    local counts, total = {}, 0
    for _, c in { string.byte(text, 1, 255) } do
        if c ~= 46 then
            counts[c] = (counts[c] or 0) + 1
            total += 1
        end
    end
    local bits = 0
    for c = 0, 255 do
        local n = counts[c]
        if n then
            bits -= n / total * math.log(n / total, 2)
        end
    end
    return bits
end

function rule(event)
    local query, least = event.query, MIN_LENGTH[event.qtype_name]
    if #query < least then
        return false
    end
    local sub = split_domain(query)
    return sub ~= nil and entropy(sub) >= MIN_ENTROPY
end

function title(event)
    local _, domain = split_domain(event.query)
    return `{event["id.orig_h"]} tunnels through DNS below {domain}`
end

function dedup(event)
    local _, domain = split_domain(event.query)
    return `{event["id.orig_h"]}:{domain}`
end

function unique(event)
    return event.query
end

function alert_context(event)
    local _, domain = split_domain(event.query)
    return { client = event["id.orig_h"], domain = domain, query = event.query, type = event.qtype_name }
end
