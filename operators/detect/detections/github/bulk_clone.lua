-- Distinct private repositories cloned per account.

local function repository(event)
    return event.repo or event.repository
end

function rule(event)
    return event.actor_is_bot ~= true and event.repository_public ~= true and repository(event) ~= nil
end

function title(event)
    return `GitHub: {event:get("actor", "somebody")} clones one repository after the other`
end

function dedup(event)
    return event:get("actor", "")
end

function unique(event)
    return repository(event)
end

function alert_context(event)
    return { ip = event.actor_ip, repo = repository(event), with = event.programmatic_access_type }
end
