#!/usr/bin/env python3
"""Deterministic AWS-CloudTrail-like workload generator for the performance anchors.

  python3 gen.py OUTDIR [N_EVENTS [SEED]]   -> OUTDIR/ct_<N>.jsonl , OUTDIR/lookup.csv
Default N = 1_000_000 (about 1.56 GB). The first k events of any run are the same for the same N spacing (1 hour / N).
Seeded; same output for the same (N, python>=3.9). ~0.5 % of events match one of the 20 rules (see rules.md / the peers).
"""
import sys, os, json, random, datetime
out = sys.argv[1]; N = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
os.makedirs(out, exist_ok=True)
R = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 20260301); rr = R.random; bits = R.getrandbits; ch = R.choice
def hx(n): return '%0*x' % (n, bits(4*n))
def up(n): return ''.join(R.choices('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', k=n))
def uuid():
    h = '%032x' % bits(128); return h[:8]+'-'+h[8:12]+'-4'+h[13:16]+'-a'+h[17:20]+'-'+h[20:]
# ---- lookup table: 50k IPs (47k v4 + 3k v6)
CC = ['US']*40+['DE']*10+['GB']*8+['IN']*8+['BR']*5+['FR']*5+['NL']*5+['CA']*4+['JP']*4+['AU']*3+['IE']*3+['SG']*2+['RU','IR','KP','CN','UA']
ips = []; seen = set()
while len(ips) < 47000:
    ip = '%d.%d.%d.%d' % (R.randint(1, 223), R.randint(0, 255), R.randint(0, 255), R.randint(1, 254))
    if ip.startswith('10.') or ip in seen: continue
    seen.add(ip); ips.append(ip)
while len(ips) < 50000:
    ip = '2001:db8:%x:%x::%x' % (bits(16), bits(16), bits(16))
    if ip in seen: continue
    seen.add(ip); ips.append(ip)
R.shuffle(ips)
with open(os.path.join(out, 'lookup.csv'), 'w') as f:
    f.write('ip,country,asn,is_tor\n')
    for i, ip in enumerate(ips):
        f.write('%s,%s,%d,%s\n' % (ip, ch(CC), R.randint(1000, 400000), 'true' if i % 200 == 7 else 'false'))   # 0.5 % tor
tor = [ip for i, ip in enumerate(ips) if i % 200 == 7]; clean = [ip for i, ip in enumerate(ips) if i % 200 != 7]
# ---- principals
accts = ['%012d' % R.randint(10**11, 10**12-1) for _ in range(120)]
regions = ['us-east-1']*6+['us-west-2']*4+['eu-west-1']*3+['eu-central-1','ap-southeast-1','ap-northeast-1','us-east-2','ca-central-1']
depts = ['payments','search','infra','ml-train','data-lake','web','mobile','billing','sre','risk','growth','auth']
names = ['alice','bob','carol','dan','erin','frank','grace','heidi','ivan','judy','mallory','niaj','olivia','peggy','rupert','sybil','trent','victor','walter','zoe']
users = [(ch(accts), '%s.%s%03d' % (ch(names), ch(depts), i % 1000), 'AIDA'+up(17)) for i in range(5000)]
roles = [(ch(accts), '%s-%s-%s' % (ch(depts), ch(['svc','task','lambda','node','ci','reader','writer']), hx(4)), 'AROA'+up(17)) for _ in range(3000)]
temproles = [(ch(accts), '%s-%s' % (ch(['temp','test','tmp']), hx(6)), 'AROA'+up(17)) for _ in range(60)]
UAS = ['aws-cli/2.15.30 Python/3.11.8 Linux/5.10.210-201.852.amzn2.x86_64 exe/x86_64.amzn.2 prompt/off command/s3api.get-object',
 'Boto3/1.34.69 md/Botocore#1.34.69 ua/2.0 os/linux#5.10.209-198.812.amzn2.x86_64 md/arch#x86_64 lang/python#3.11.6 md/pyimpl#CPython cfg/retry-mode#standard Botocore/1.34.69',
 'aws-sdk-go/1.50.36 (go1.21.8; linux; amd64) amazon-ssm-agent/',
 'aws-sdk-java/2.25.11 Linux/5.15.0-1055-aws OpenJDK_64-Bit_Server_VM/17.0.10+7-LTS Java/17.0.10 kotlin/1.9.22-release-704(1.9.22) vendor/Amazon.com_Inc. io/async http/NettyNio cfg/retry-mode/standard',
 'APN/1.0 HashiCorp/1.0 Terraform/1.7.4 (+https://www.terraform.io) terraform-provider-aws/5.40.0 (+https://registry.terraform.io/providers/hashicorp/aws) aws-sdk-go-v2/1.25.2 os/linux lang/go#1.21.8 md/GOOS#linux md/GOARCH#amd64 api/ec2#1.149.1',
 '[Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 Safari/537.36]',
 'kubelet/v1.29.1 (linux/amd64) kubernetes/8f4ee9c','S3Console/0.4, aws-internal/3 aws-sdk-java/1.12.664 Linux/5.10.210 OpenJDK_64-Bit_Server_VM/25.402-b08 java/1.8.0_402 vendor/Oracle_Corporation cfg/retry-mode/standard']
SVC = ['lambda.amazonaws.com','autoscaling.amazonaws.com','ecs-tasks.amazonaws.com','config.amazonaws.com','cloudformation.amazonaws.com']
def J(o): return json.dumps(o, separators=(',', ':'))
def ident(kind=None, who=None):
    """-> (json text of userIdentity, account)"""
    x = rr()
    if kind is None: kind = 'Role' if x < .62 else 'IAMUser' if x < .80 else 'AWSService' if x < .94 else 'WebId' if x < .9995 else 'RoleChain'
    if kind == 'IAMUser':
        a, n, p = who or ch(users)
        s = '{"type":"IAMUser","principalId":"%s","arn":"arn:aws:iam::%s:user/%s","accountId":"%s","accessKeyId":"AKIA%s","userName":"%s"' % (p, a, n, a, '%016X' % bits(64), n)
        if rr() < .3: s += ',"sessionContext":{"attributes":{"creationDate":"2026-03-01T11:%02d:%02dZ","mfaAuthenticated":"%s"}}' % (bits(16) % 60, bits(16) % 60, ch(['true', 'false']))
        return s + '}', a, kind
    if kind == 'AWSService': return '{"type":"AWSService","invokedBy":"%s"}' % ch(SVC), ch(accts), kind
    if kind == 'Root':
        a = ch(accts); return '{"type":"Root","principalId":"%s","arn":"arn:aws:iam::%s:root","accountId":"%s","accessKeyId":"ASIA%016X"}' % (a, a, a, bits(64)), a, kind
    a, n, p = who or ch(roles); sess = ch(['i-0'+hx(16), n+'-'+str(bits(40)), ch(names)+'@example.com', 'botocore-session-'+str(bits(33))])
    w = '"webIdFederationData":{"federatedProvider":"arn:aws:iam::%s:oidc-provider/oidc.eks.us-east-1.amazonaws.com/id/%s","attributes":{}},' % (a, '%032X' % bits(128)) if kind == 'WebId' else ''
    return ('{"type":"AssumedRole","principalId":"%s:%s","arn":"arn:aws:sts::%s:assumed-role/%s/%s","accountId":"%s","accessKeyId":"ASIA%016X","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"%s","arn":"arn:aws:iam::%s:role/%s","accountId":"%s","userName":"%s"},%s"attributes":{"creationDate":"2026-03-01T11:%02d:%02dZ","mfaAuthenticated":"false"}}}'
        % (p, sess, a, n, sess, a, bits(64), p, a, n, a, n, w, bits(16) % 60, bits(16) % 60)), a, kind
# ---- event kinds: name -> fn(acct, region) -> (source, eventName, readOnly, requestParameters json, responseElements json, extra json-or-'', mgmt)
def s3(name, ro):
    def f(a, r):
        b = 'prod-%s-%s-%s' % (ch(depts), r, a[:6]); k = 'year=2026/month=03/day=01/%s/part-%05d-%s.snappy.parquet' % (hx(8), bits(16) % 99999, uuid())
        return ('s3.amazonaws.com', name, ro, '{"bucketName":"%s","Host":"%s.s3.%s.amazonaws.com","key":"%s"%s}' % (b, b, r, k, ',"x-amz-storage-class":"STANDARD","x-amz-server-side-encryption":"aws:kms"' if not ro else ''),
          'null' if ro else '{"x-amz-server-side-encryption":"aws:kms","x-amz-version-id":"%s"}' % hx(32),
          ',"additionalEventData":{"SignatureVersion":"SigV4","CipherSuite":"TLS_AES_128_GCM_SHA256","bytesTransferredIn":%d,"AuthenticationMethod":"AuthHeader","x-amz-id-2":"%s=","bytesTransferredOut":%d},"resources":[{"type":"AWS::S3::Object","ARN":"arn:aws:s3:::%s/%s"},{"accountId":"%s","type":"AWS::S3::Bucket","ARN":"arn:aws:s3:::%s"}]' % (bits(16), hx(44), bits(22), b, k, a, b), False)
    return f
def kms(name):
    def f(a, r):
        arn = 'arn:aws:kms:%s:%s:key/%s' % (r, a, uuid())
        return ('kms.amazonaws.com', name, True, '{"encryptionContext":{"aws:s3:arn":"arn:aws:s3:::prod-%s-%s","aws:lambda:FunctionArn":"arn:aws:lambda:%s:%s:function:%s-%s"},"encryptionAlgorithm":"SYMMETRIC_DEFAULT","keyId":"%s"}' % (ch(depts), a[:6], r, a, ch(depts), hx(4), arn), 'null', ',"resources":[{"accountId":"%s","type":"AWS::KMS::Key","ARN":"%s"}]' % (a, arn), True)
    return f
def assume(a, r):
    ra, rn, rp = ch(roles); s = 'sess-'+hx(12)
    return ('sts.amazonaws.com', 'AssumeRole', True, '{"roleArn":"arn:aws:iam::%s:role/%s","roleSessionName":"%s","externalId":"%s","durationSeconds":3600}' % (ra, rn, s, uuid()),
      '{"credentials":{"accessKeyId":"ASIA%016X","sessionToken":"IQoJb3JpZ2luX2Vj%s","expiration":"Mar 1, 2026, 1:%02d:00 PM"},"assumedRoleUser":{"assumedRoleId":"%s:%s","arn":"arn:aws:sts::%s:assumed-role/%s/%s"}}' % (bits(64), hx(96), bits(16) % 60, rp, s, ra, rn, s),
      ',"resources":[{"accountId":"%s","type":"AWS::IAM::Role","ARN":"arn:aws:iam::%s:role/%s"}]' % (ra, ra, rn), True)
def simple(src, name, ro, rp, resp='null', mgmt=True):
    def f(a, r):
        d = {'a': a, 'r': r, 'u': uuid(), 'h': hx(17), 'd': ch(depts), 'n': bits(12)}
        return (src, name, ro, rp % d, resp % d, '', mgmt)
    return f
E_ = 'ec2.amazonaws.com'
run_resp = '{"requestId":"%(u)s","reservationId":"r-0%(h)s","ownerId":"%(a)s","groupSet":{},"instancesSet":{"items":[{"instanceId":"i-0%(h)s","imageId":"ami-0%(h)s","currentState":{"code":0,"name":"pending"},"privateDnsName":"ip-10-1-2-3.ec2.internal","keyName":"%(d)s-key","amiLaunchIndex":0,"productCodes":{},"instanceType":"m5.xlarge","launchTime":1772366400000,"placement":{"availabilityZone":"%(r)sa","tenancy":"default"},"monitoring":{"state":"disabled"},"subnetId":"subnet-0%(h)s","vpcId":"vpc-0%(h)s","privateIpAddress":"10.1.2.3","stateReason":{"code":"pending","message":"pending"},"architecture":"x86_64","rootDeviceType":"ebs","rootDeviceName":"/dev/xvda","blockDeviceMapping":{},"virtualizationType":"hvm","hypervisor":"xen","tagSet":{"items":[{"key":"Name","value":"%(d)s-%(n)d"},{"key":"team","value":"%(d)s"}]},"groupSet":{"items":[{"groupId":"sg-0%(h)s","groupName":"%(d)s-default"}]}}]}}'
KINDS = [(14, s3('GetObject', True)), (6, s3('PutObject', False)), (4, s3('HeadObject', True)), (2, s3('DeleteObject', False)), (10, kms('Decrypt')), (5, kms('GenerateDataKey')), (12, assume),
 (6, simple('sts.amazonaws.com', 'GetCallerIdentity', True, 'null')),
 (7, simple(E_, 'DescribeInstances', True, '{"instancesSet":{"items":[{"instanceId":"i-0%(h)s"}]},"filterSet":{"items":[{"name":"tag:team","valueSet":{"items":[{"value":"%(d)s"}]}}]}}')),
 (2, simple(E_, 'DescribeVolumes', True, '{"maxResults":500,"volumeSet":{},"filterSet":{"items":[{"name":"attachment.instance-id","valueSet":{"items":[{"value":"i-0%(h)s"}]}}]}}')),
 (2, simple(E_, 'DescribeNetworkInterfaces', True, '{"networkInterfaceIdSet":{"items":[{"networkInterfaceId":"eni-0%(h)s"}]},"filterSet":{}}')),
 (1, simple(E_, 'RunInstances', False, '{"instancesSet":{"items":[{"imageId":"ami-0%(h)s","minCount":1,"maxCount":1,"keyName":"%(d)s-key"}]},"instanceType":"m5.xlarge","blockDeviceMapping":{},"monitoring":{"enabled":false},"clientToken":"%(u)s"}', run_resp)),
 (.5, simple(E_, 'ModifyInstanceAttribute', False, '{"instanceId":"i-0%(h)s","disableApiTermination":{"value":true}}', '{"requestId":"%(u)s","_return":true}')),
 (.3, simple(E_, 'AuthorizeSecurityGroupIngress', False, '{"groupId":"sg-0%(h)s","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,"groups":{},"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8","description":"%(d)s"}]},"ipv6Ranges":{},"prefixListIds":{}}]}}', '{"requestId":"%(u)s","_return":true}')),
 (.2, simple(E_, 'ModifySnapshotAttribute', False, '{"snapshotId":"snap-0%(h)s","createVolumePermission":{"add":{"items":[{"userId":"%(a)s"}]}},"attributeType":"CREATE_VOLUME_PERMISSION"}', '{"requestId":"%(u)s","_return":true}')),
 (3, simple('logs.amazonaws.com', 'CreateLogStream', False, '{"logGroupName":"/aws/lambda/%(d)s-%(n)d","logStreamName":"2026/03/01/[$LATEST]%(u)s"}')),
 (3, simple('dynamodb.amazonaws.com', 'GetItem', True, '{"tableName":"%(d)s-sessions","key":{"pk":{"s":"user#%(n)d"},"sk":{"s":"sess#%(h)s"}},"consistentRead":false}', mgmt=False)),
 (3, simple('lambda.amazonaws.com', 'Invoke', False, '{"functionName":"arn:aws:lambda:%(r)s:%(a)s:function:%(d)s-%(n)d","invocationType":"Event","clientContext":"%(u)s"}', mgmt=False)),
 (.3, simple('lambda.amazonaws.com', 'UpdateFunctionCode20150331v2', False, '{"functionName":"%(d)s-%(n)d","s3Bucket":"artifacts-%(a)s","s3Key":"%(u)s.zip","publish":true,"dryRun":false}', '{"functionName":"%(d)s-%(n)d","functionArn":"arn:aws:lambda:%(r)s:%(a)s:function:%(d)s-%(n)d","runtime":"python3.11","role":"arn:aws:iam::%(a)s:role/%(d)s-lambda","handler":"app.handler","codeSize":%(n)d,"timeout":30,"memorySize":512,"codeSha256":"%(h)s=","version":"%(n)d","environment":{}}')),
 (2, simple('iam.amazonaws.com', 'GetRole', True, '{"roleName":"%(d)s-svc-%(n)d"}')), (1, simple('iam.amazonaws.com', 'ListRoles', True, '{"maxItems":1000,"marker":"%(u)s"}')),
 (.3, simple('iam.amazonaws.com', 'AttachRolePolicy', False, '{"roleName":"%(d)s-svc-%(n)d","policyArn":"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}')),
 (2, simple('ssm.amazonaws.com', 'UpdateInstanceInformation', False, '{"instanceId":"i-0%(h)s","agentVersion":"3.2.2303.0","agentStatus":"Active","platformType":"Linux","platformName":"Amazon Linux","platformVersion":"2","iPAddress":"10.2.3.4","computerName":"ip-10-2-3-4.ec2.internal","agentName":"amazon-ssm-agent","availabilityZone":"%(r)sa","sSMConnectionChannel":"ssmmessages"}')),
 (1.5, simple('secretsmanager.amazonaws.com', 'GetSecretValue', True, '{"secretId":"arn:aws:secretsmanager:%(r)s:%(a)s:secret:prod/%(d)s/db-%(n)d"}')),
 (1, simple('cloudtrail.amazonaws.com', 'LookupEvents', True, '{"startTime":"Mar 1, 2026, 11:00:00 AM","endTime":"Mar 1, 2026, 12:00:00 PM","maxResults":50}')),
 (1, simple('elasticloadbalancing.amazonaws.com', 'DescribeTargetHealth', True, '{"targetGroupArn":"arn:aws:elasticloadbalancing:%(r)s:%(a)s:targetgroup/%(d)s/%(h)s"}')),
 (.4, simple('signin.amazonaws.com', 'ConsoleLogin', False, 'null', '{"ConsoleLogin":"Success"}'))]
fns = [k[1] for k in KINDS]; cw = []; t = 0
for w, _ in KINDS: t += w; cw.append(t)
def hot(a, r):
    """-> (kind-of-identity, who, event tuple, opts). ~0.5 % of events come from here."""
    x = bits(16) % 100; S = simple
    if x < 34: return 'IAMUser', None, ch(fns[8:11])(a, r), {'err': ch(['AccessDenied', 'UnauthorizedOperation', 'Client.UnauthorizedOperation'])}                        # R14
    if x < 42: return 'IAMUser', None, ch([s3('PutObject', False), s3('DeleteObject', False)])(a, r), {'ip': ch(tor)}                                                       # R19
    if x < 50: return 'Role', ch(temproles), s3('PutObject', False)(a, r), {}                                                                                          # R20
    if x < 55: return 'Role', None, S('secretsmanager.amazonaws.com', 'GetSecretValue', True, '{"secretId":"prod/%(d)s/%(n)d"}')(a, r), {'ip': ch(tor)}                        # R11
    if x < 60: return 'IAMUser', None, S('signin.amazonaws.com', 'ConsoleLogin', False, 'null', '{"ConsoleLogin":"Success"}')(a, r), {'mfa': 'No'}                          # R02
    if x < 66: return 'IAMUser', None, S('signin.amazonaws.com', 'ConsoleLogin', False, 'null', '{"ConsoleLogin":"Failure"}')(a, r), {'mfa': 'Yes', 'em': 'Failed authentication'} # R03
    if x < 69: return 'Root', None, S('signin.amazonaws.com', 'ConsoleLogin', False, 'null', '{"ConsoleLogin":"Success"}')(a, r), {'mfa': 'Yes'}                            # R01 R04
    if x < 72: return None, None, S('cloudtrail.amazonaws.com', ch(['StopLogging', 'DeleteTrail', 'UpdateTrail', 'PutEventSelectors']), False, '{"name":"arn:aws:cloudtrail:%(r)s:%(a)s:trail/org"}')(a, r), {} # R05
    if x < 76: return 'IAMUser', None, S('iam.amazonaws.com', 'CreateAccessKey', False, '{"userName":"%(d)s-ci"}', '{"accessKey":{"userName":"%(d)s-ci","status":"Active","createDate":"Mar 1, 2026 12:00:00 PM","accessKeyId":"AKIAEXAMPLE%(n)d"}}')(a, r), {} # R06
    if x < 80: return 'IAMUser', None, S('iam.amazonaws.com', ch(['AttachUserPolicy', 'AttachRolePolicy', 'AttachGroupPolicy']), False, '{"userName":"%(d)s","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}')(a, r), {} # R07
    if x < 83: return 'Role', None, S(E_, 'AuthorizeSecurityGroupIngress', False, '{"groupId":"sg-0%(h)s","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":22,"toPort":22,"groups":{},"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]},"ipv6Ranges":{},"prefixListIds":{}}]}}', '{"requestId":"%(u)s","_return":true}')(a, r), {} # R08
    if x < 85: return 'Role', None, S('s3.amazonaws.com', 'PutBucketAcl', False, '{"bucketName":"%(d)s-%(a)s","acl":"public-read-write"}')(a, r), {}                           # R09
    if x < 87: return 'Role', None, S('kms.amazonaws.com', ch(['DisableKey', 'ScheduleKeyDeletion']), False, '{"keyId":"arn:aws:kms:%(r)s:%(a)s:key/%(u)s","pendingWindowInDays":7}')(a, r), {}   # R10
    if x < 91: return 'Role', None, S('sts.amazonaws.com', 'AssumeRole', True, '{"roleArn":"arn:aws:iam::'+ch(accts)+':role/'+ch(['Admin', 'OrganizationAccountAccessRole', 'db-break-glass'])+'","roleSessionName":"x%(n)d"}')(a, r), {'xacct': 1} # R12
    if x < 94: return 'IAMUser', None, fns[0](a, r), {'ua': ch(['aws-cli/2.15.0 Python/3.11.8 Linux/6.6.9-amd64 kali-rolling exe/x86_64', 'Boto3/1.34 pacu/1.5', 'aws-cli/1.22 Linux/Parrot-5.3'])} # R13
    if x < 95: return 'Role', None, S('guardduty.amazonaws.com', ch(['DeleteDetector', 'UpdateDetector', 'StopMonitoringMembers']), False, '{"detectorId":"%(h)s"}')(a, r), {} # R15
    if x < 97: return 'Role', None, S(E_, 'ModifyInstanceAttribute', False, '{"instanceId":"i-0%(h)s","userData":"<sensitiveDataRemoved>"}', '{"requestId":"%(u)s","_return":true}')(a, r), {} # R16
    if x < 98: return 'Role', None, S(E_, 'ModifySnapshotAttribute', False, '{"snapshotId":"snap-0%(h)s","createVolumePermission":{"add":{"items":[{"group":"all"}]}},"attributeType":"CREATE_VOLUME_PERMISSION"}', '{"requestId":"%(u)s","_return":true}')(a, r), {} # R17
    return 'Role', None, S('lambda.amazonaws.com', 'UpdateFunctionCode20150331v2', False, '{"functionName":"%(d)s-%(n)d","publish":true}')(a, r), {} # R18 when country is listed
base = datetime.datetime(2026, 3, 1, 12, 0, 0)
stamps = [(base + datetime.timedelta(seconds=s)).strftime('%Y-%m-%dT%H:%M:%SZ') for s in range(3600)]
fn = os.path.join(out, 'ct_%d.jsonl' % N); nb = 0
with open(fn, 'w', buffering=1 << 22) as f:
    wr = f.write
    for i in range(N):
        a = None; r = ch(regions)
        if rr() < .005:
            k, who, _, o = None, None, None, None
            acct = ch(accts); k, who, ev, o = hot(acct, r)
            uid, a, kind = ident(k, who)
        else:
            uid, a, kind = ident(); o = {}
            ev = R.choices(fns, cum_weights=cw)[0](a, r)
        src, name, ro, rp, resp, extra, mgmt = ev
        sec = int(i * 3600 / N) - (bits(3) if i > N // 100 else 0)
        ts = stamps[sec if sec > 0 else 0]
        if 'ip' in o: ip = o['ip']
        elif kind == 'AWSService': ip = ch(SVC)
        elif rr() < .15: ip = '10.%d.%d.%d' % (bits(3), bits(8), bits(8))          # lookup miss
        else: ip = clean[int(len(clean) * rr() ** 2.5)]                            # skewed
        ua = o.get('ua') or (ip if kind == 'AWSService' else ch(UAS))
        err = o.get('err')
        if err is None and rr() < .01 and kind == 'Role': err = ch(['AccessDenied', 'NoSuchKey', 'ThrottlingException'])
        e = '' if err is None else ',"errorCode":"%s","errorMessage":"User: is not authorized to perform: %s on resource because no identity-based policy allows the action"' % (err, name)
        if err: resp = 'null'
        if 'em' in o: e = ',"errorMessage":"Failed authentication"'
        if src[0:6] == 'signin':
            extra = ',"additionalEventData":{"LoginTo":"https://console.aws.amazon.com/console/home?region=%s","MobileVersion":"No","MFAUsed":"%s"}' % (r, o.get('mfa', 'Yes')); et = 'AwsConsoleSignIn'
        else: et = 'AwsApiCall'
        racct = ch(accts) if 'xacct' in o else a
        line = '{"eventVersion":"1.09","userIdentity":%s,"eventTime":"%s","eventSource":"%s","eventName":"%s","awsRegion":"%s","sourceIPAddress":"%s","userAgent":"%s"%s,"requestParameters":%s,"responseElements":%s%s,"requestID":"%s","eventID":"%s","readOnly":%s,"eventType":"%s","managementEvent":%s,"recipientAccountId":"%s","eventCategory":"%s"%s%s}\n' % (
            uid, ts, src, name, r, ip, ua, e, rp, resp, extra, uuid(), uuid(), 'true' if ro else 'false', et, 'true' if mgmt else 'false', racct, 'Management' if mgmt else 'Data', ',"tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"%s.%s.amazonaws.com"}' % (src.split('.')[0], r) if rr() < .6 else '', ',"sessionCredentialFromConsole":"true"' if rr() < .05 else '')
        nb += len(line); wr(line)
print(fn, N, 'events', nb, 'bytes', 'avg', nb / N)
