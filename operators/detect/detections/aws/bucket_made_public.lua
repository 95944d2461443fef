-- Bucket policies that allow everyone.

-- A policy writes one thing where it may write a list of things.
local function each(value)
    if value == nil then
        return {}
    end
    local is_list = type(value) == "userdata" and value[1] ~= nil
    return if is_list then value else { value }
end

local function is_everyone(principal)
    if principal == "*" then
        return true
    end
    if type(principal) == "userdata" then
        for _, name in each(principal.AWS) do
            if name == "*" then
                return true
            end
        end
    end
    return false
end

-- Actions that everyone may take without a condition.
local function open_actions(event)
    local actions = {}
    for _, statement in each(event:deep_get("requestParameters", "bucketPolicy", "Statement")) do
        if statement.Effect == "Allow" and is_everyone(statement.Principal) and statement.Condition == nil then
            for _, action in each(statement.Action) do
                table.insert(actions, action)
            end
        end
    end
    return actions
end

function rule(event)
    return #open_actions(event) > 0
end

function title(event)
    local who = event:deep_get("userIdentity", "userName") or event:deep_get("userIdentity", "arn")
    local bucket = event:deep_get("requestParameters", "bucketName")
    return `AWS: {who} opened bucket {bucket} to everyone ({table.concat(open_actions(event), ", ")})`
end

function severity(event)
    for _, action in open_actions(event) do
        if action == "*" or action == "s3:*" or string.find(action, "^s3:Put") or string.find(action, "^s3:Delete") then
            return "CRITICAL"
        end
    end
    return "DEFAULT"
end

function dedup(event)
    return event:deep_get("requestParameters", "bucketName")
end

function alert_context(event)
    return {
        actor = event:deep_get("userIdentity", "arn"),
        ip = event.sourceIPAddress,
        bucket = event:deep_get("requestParameters", "bucketName"),
        actions = open_actions(event),
    }
end
