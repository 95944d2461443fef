-- Somebody removes MFA factors: of somebody else, or from behind a proxy.

-- The user a change is about: the user among the targets, else whoever acts.
local function subject(event)
    for _, target in ipairs(event:get("target", {})) do
        if target.type == "User" then
            return target
        end
    end
    return event.actor
end

local function hidden(event)
    return event:deep_get("securityContext", "isProxy") == true
end

function rule(event)
    return hidden(event) or subject(event).id ~= event:deep_get("actor", "id")
end

function title(event)
    return `Okta: {event.actor.alternateId} removed MFA of {subject(event).alternateId}`
end

function severity(event)
    return if hidden(event) or event.eventType == "user.mfa.factor.reset_all" then "HIGH" else "DEFAULT"
end

function dedup(event)
    return subject(event).alternateId
end

function alert_context(event)
    return {
        actor = event:deep_get("actor", "alternateId"),
        ip = event:deep_get("client", "ipAddress"),
        user = subject(event).alternateId,
    }
end
