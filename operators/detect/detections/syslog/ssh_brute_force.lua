-- Failed SSH passwords per address and host.

-- User and address of a failure, nil for any other message.
local function failure(event)
    local message = event:get("message", "")
    local user, address = string.match(message, "^%s*Failed password for (%S+) from (%S+) port")
    if not user then
        user, address = string.match(message, "^%s*Failed password for invalid user (%S*) from (%S+) port")
    end
    if not ip.valid(address) then
        return nil
    end
    return user, address
end

function rule(event)
    return failure(event) ~= nil
end

function title(event)
    local _, address = failure(event)
    return `{address} tries SSH passwords at {event.hostname}`
end

function dedup(event)
    local _, address = failure(event)
    return `{address}:{event.hostname}`
end

function alert_context(event)
    local user, address = failure(event)
    return { ip = address, host = event.hostname, user = user }
end
