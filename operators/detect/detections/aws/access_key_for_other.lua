-- An access key whose owner is not its creator.

-- Name of who acts: the user, or the role behind a session.
local function actor(event)
    return event:deep_get("userIdentity", "userName")
        or event:deep_get("userIdentity", "sessionContext", "sessionIssuer", "userName")
        or event:deep_get("userIdentity", "arn")
end

local function key(event)
    return event:deep_get("responseElements", "accessKey")
end

function rule(event)
    local created = key(event)
    return created ~= nil and created.userName ~= actor(event)
end

function title(event)
    local created = key(event)
    return `AWS: {actor(event)} created access key {created.accessKeyId} for {created.userName}`
end

function severity(event)
    return if string.find(string.lower(key(event).userName), "admin", 1, true) then "HIGH" else "DEFAULT"
end

function dedup(event)
    return `{event.recipientAccountId}:{key(event).userName}`
end

function alert_context(event)
    return {
        actor = event:deep_get("userIdentity", "arn"),
        ip = event.sourceIPAddress,
        owner = key(event).userName,
        key = key(event).accessKeyId,
    }
end
