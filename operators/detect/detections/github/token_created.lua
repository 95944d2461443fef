-- Access tokens, ranked by what they may do.

local WIDE = { repo = true, workflow = true, delete_repo = true, ["admin:org"] = true, ["write:packages"] = true }

-- Scopes with which a stranger could do harm, in the order of the token.
local function wide_scopes(event)
    local found = {}
    for _, scope in string.split(event:get("token_scopes", ""), ",") do
        local name = string.match(scope, "^%s*(.-)%s*$")
        if WIDE[name] then
            table.insert(found, name)
        end
    end
    return found
end

function rule(event)
    return event.actor_is_bot ~= true
end

function title(event)
    local scopes = wide_scopes(event)
    local what = if #scopes > 0 then " that may " .. table.concat(scopes, ", ") else ""
    return `GitHub: {event:get("actor", "somebody")} created a token{what}`
end

function severity(event)
    return if #wide_scopes(event) > 0 then "HIGH" else "DEFAULT"
end

function dedup(event)
    return event:get("actor", "")
end

function alert_context(event)
    return { ip = event.actor_ip, scopes = event.token_scopes, user_agent = event.user_agent }
end
