"""The twenty rules as SQL conditions, for the peers that speak SQL: R01 first."""


def rules(starts, matches, distro, group):
    """Names of the functions for prefixes and patterns, the condition of R13, and `group`, a reserved word, quoted.

    SQL's three-valued logic is the rules' own: a comparison with null is not true. List positions begin at 1.
    """
    return [
        "eventName = 'ConsoleLogin' AND userIdentity.type = 'Root'",
        "eventName = 'ConsoleLogin' AND additionalEventData.MFAUsed = 'No' AND responseElements.ConsoleLogin = 'Success'",
        "eventName = 'ConsoleLogin' AND responseElements.ConsoleLogin = 'Failure'",
        "userIdentity.type = 'Root' AND userIdentity.invokedBy IS NULL AND eventType <> 'AwsServiceEvent'",
        """eventSource = 'cloudtrail.amazonaws.com'
           AND eventName IN ('StopLogging', 'DeleteTrail', 'UpdateTrail', 'PutEventSelectors')""",
        "eventName = 'CreateAccessKey' AND errorCode IS NULL AND requestParameters.userName IS NOT NULL",
        """eventName IN ('AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy')
           AND requestParameters.policyArn = 'arn:aws:iam::aws:policy/AdministratorAccess'""",
        """eventName = 'AuthorizeSecurityGroupIngress'
           AND requestParameters.ipPermissions.items[1].ipRanges.items[1].cidrIp = '0.0.0.0/0'""",
        f"eventName IN ('PutBucketAcl', 'PutBucketPolicy') AND {starts}(requestParameters.acl, 'public-read')",
        "eventSource = 'kms.amazonaws.com' AND eventName IN ('DisableKey', 'ScheduleKeyDeletion')",
        "eventName = 'GetSecretValue' AND is_tor",
        f"""eventName = 'AssumeRole' AND userIdentity.accountId <> recipientAccountId
           AND {matches}(requestParameters.roleArn,
               '^arn:aws:iam::[0-9]{{12}}:role/(Admin|OrganizationAccountAccessRole|.*-break-glass)$')""",
        distro,
        f"""errorCode IN ('AccessDenied', 'UnauthorizedOperation', 'Client.UnauthorizedOperation')
           AND userIdentity.type = 'IAMUser'
           AND ({starts}(eventName, 'List') OR {starts}(eventName, 'Describe') OR {starts}(eventName, 'Get'))""",
        """eventSource = 'guardduty.amazonaws.com'
           AND eventName IN ('DeleteDetector', 'UpdateDetector', 'StopMonitoringMembers')""",
        "eventName = 'ModifyInstanceAttribute' AND requestParameters.userData IS NOT NULL",
        f"""eventName = 'ModifySnapshotAttribute'
           AND requestParameters.createVolumePermission.add.items[1].{group} = 'all'""",
        f"{starts}(eventName, 'UpdateFunctionCode') AND country IN ('KP', 'IR', 'RU')",
        "is_tor AND NOT readOnly AND userIdentity.type = 'IAMUser'",
        f"""NOT readOnly AND NOT {starts}(sourceIPAddress, '10.')
           AND {matches}(userIdentity.sessionContext.sessionIssuer.userName, '^(temp|test|tmp)-[a-z0-9]{{4,}}$')""",
    ]
