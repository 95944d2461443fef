-- Distinct ports per pair of addresses.

local FIRST_EPHEMERAL = 32768
local INSIDE = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16" }

local function is_inside(address)
    for _, network in INSIDE do
        if ip.in_cidr(address, network) then
            return true
        end
    end
    return false
end

function rule(event)
    -- Late packets of finished connections go from a service to an ephemeral port.
    local to, from = event:get("dstPort", 0), event:get("srcPort", 0)
    return to > 0 and to < FIRST_EPHEMERAL and from >= 1024
end

function title(event)
    return `{event.srcAddr} scans ports of {event.dstAddr}`
end

function severity(event)
    return if is_inside(event.srcAddr) then "HIGH" else "DEFAULT"
end

function dedup(event)
    return `{event.srcAddr}:{event.dstAddr}`
end

function unique(event)
    return tostring(event.dstPort)
end

function alert_context(event)
    return { source = event.srcAddr, target = event.dstAddr, interface = event.interfaceId }
end
