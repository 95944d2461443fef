-- Distinct secrets per principal: `unique` makes the threshold count values instead of events.

function rule(event)
    return event:deep_get("requestParameters", "secretId") ~= nil
end

function title(event)
    return `AWS: {event:deep_get("userIdentity", "arn")} reads one secret after the other`
end

function dedup(event)
    return event:deep_get("userIdentity", "arn", { default = "" })
end

function unique(event)
    return event.requestParameters.secretId
end

function alert_context(event)
    return {
        actor = event:deep_get("userIdentity", "arn"),
        ip = event.sourceIPAddress,
        secret = event.requestParameters.secretId,
    }
end
