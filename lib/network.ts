// The network: subnets, and the ways from each to what it needs. The broker's subnets come first in the address plan and all
// zones are always laid out, so that no later choice (egress, nodes) can move a broker's subnet, which Amazon MQ does not
// allow. Rules between security groups are added where the groups are created. With egress `public-ip` the functions get one
// Secrets Manager endpoint in one zone; with `nat` none, because the gateway leads everywhere. Prices: docs/deploy.md.
// Whether gateways and their subnets exist (`natGateways`) is separate from whether the tasks use them (`egress`): tasks move
// out first, and the next deployment removes what they used. Endpoints for ECR, logs and S3 ($7.30 per endpoint and zone)
// replace neither: Discord is on the internet.
import { Annotations, ArnFormat, type CfnResource, Duration, Fn, Stack } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import { AnyPrincipal, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { AwsCustomResource, AwsCustomResourcePolicy, PhysicalResourceId } from 'aws-cdk-lib/custom-resources';
import { Construct, DependencyGroup } from 'constructs';
import { removalPolicy } from './removal-policy.ts';
import { sdkCallsLogGroup } from './sdk-calls.ts';
import { secretName } from './secrets.ts';
import { onlyForThisAccount } from './service-roles.ts';
import type { Settings } from './settings.ts';

export class Network extends Construct {
  readonly vpc: ec2.IVpc;
  /** One per node of the broker. */
  readonly brokerSubnets: ec2.SubnetSelection;
  readonly serviceSubnets: ec2.SubnetSelection;
  /** Of the functions that use the broker, as all below. */
  readonly functionSubnets: ec2.SubnetSelection;
  readonly functions: ec2.SecurityGroup;
  /** The address of Secrets Manager, where its public one is not reachable. */
  readonly functionEnvironment: Readonly<Record<string, string>>;
  /** What must exist before a function can reach anything. */
  readonly functionsReady = new DependencyGroup();

  constructor(scope: Construct, id: string, { settings }: { readonly settings: Settings }) {
    super(scope, id);
    const nat = settings.egress === 'nat';
    const existing = settings.network.existing;

    if (existing) {
      this.vpc = ec2.Vpc.fromVpcAttributes(this, 'Vpc', {
        vpcId: existing.vpcId,
        // Required, and not used below.
        availabilityZones: existing.serviceSubnetIds.map((_, index) => Fn.select(index, Fn.getAzs())),
      });
      this.brokerSubnets = this.byId('Broker', existing.brokerSubnetIds);
      this.serviceSubnets = this.byId('Service', existing.serviceSubnetIds);
    } else {
      const vpc = this.create(settings);
      this.vpc = vpc;
      const brokerSubnets = vpc.isolatedSubnets.slice(0, settings.broker.nodes);
      this.brokerSubnets = { subnets: brokerSubnets };
      // AWS refuses to delete these while a kept broker uses them.
      for (const { node } of [vpc, ...brokerSubnets]) {
        (node.defaultChild as CfnResource).applyRemovalPolicy(removalPolicy(settings));
      }
      this.serviceSubnets = { subnets: nat ? vpc.privateSubnets : vpc.publicSubnets };
    }
    this.functionSubnets = nat ? this.serviceSubnets : this.brokerSubnets;

    this.functions = new ec2.SecurityGroup(this, 'Functions', {
      vpc: this.vpc,
      description: 'Functions that administer the broker',
      allowAllOutbound: false,
    });
    this.functionsReady.add(this.functions);
    // As long as there may be gateways: during an update, functions that leave their subnets still run there.
    if (nat || existing || settings.natGateways > 0) {
      this.functions.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'Secrets Manager, through the NAT gateway');
    }
    if (nat) {
      this.functionEnvironment = {};
      for (const { internetConnectivityEstablished } of this.functionSubnets.subnets ?? []) {
        this.functionsReady.add(internetConnectivityEstablished);
      }
    } else {
      this.functionEnvironment = { AWS_ENDPOINT_URL_SECRETS_MANAGER: this.secretsManagerEndpoint(settings) };
    }
  }

  private create(settings: Settings): ec2.Vpc {
    const reserved = settings.natGateways === 0;
    const vpc = new ec2.Vpc(this, 'Vpc', {
      ipAddresses: ec2.IpAddresses.cidr(settings.network.cidr),
      maxAzs: settings.network.zones,
      natGateways: settings.natGateways,
      // Only appended to, never reordered: a subnet that moves is replaced.
      subnetConfiguration: [
        { name: 'Broker', subnetType: ec2.SubnetType.PRIVATE_ISOLATED, cidrMask: 26 },
        { name: 'Public', subnetType: ec2.SubnetType.PUBLIC, cidrMask: 24, mapPublicIpOnLaunch: false },
        // Reserved without a NAT gateway, so that one can be added later.
        { name: 'Service', subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS, cidrMask: 24, reserved },
      ],
      // Below: the library's own function would leave a log group behind.
      restrictDefaultSecurityGroup: false,
    });

    // Rejected traffic only: it is cheap, and the first thing to look at when a connection fails. Accepted traffic is the
    // ingestor's and the workers', known from their logs, and would cost more than the task ($0.50 per GB).
    const role = new Role(this, 'FlowLogRole', { assumedBy: new ServicePrincipal('vpc-flow-logs.amazonaws.com') });
    onlyForThisAccount(role);
    const logGroup = new LogGroup(this, 'RejectedTraffic', {
      retention: RetentionDays.TWO_WEEKS,
      removalPolicy: removalPolicy(settings),
    });
    vpc.addFlowLog('Rejected', {
      trafficType: ec2.FlowLogTrafficType.REJECT,
      maxAggregationInterval: ec2.FlowLogMaxAggregationInterval.TEN_MINUTES,
      destination: ec2.FlowLogDestination.toCloudWatchLogs(logGroup, role),
    });
    this.closeDefaultSecurityGroup(vpc);
    return vpc;
  }

  /** Nothing uses the VPC's default security group; without rules, nothing can use it by accident. */
  private closeDefaultSecurityGroup(vpc: ec2.Vpc): void {
    const stack = Stack.of(this);
    const group = vpc.vpcDefaultSecurityGroup;
    const arn = stack.formatArn({ service: 'ec2', resource: 'security-group', resourceName: group });
    const rules = {
      Ingress: { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: group, UserId: stack.account }] },
      Egress: { IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] },
    };
    for (const [direction, rule] of Object.entries(rules)) {
      new AwsCustomResource(this, `NoDefault${direction}`, {
        resourceType: 'Custom::NoDefaultRule',
        // For a new VPC as well.
        onUpdate: {
          service: 'EC2',
          action: `revokeSecurityGroup${direction}`,
          parameters: { GroupId: group, IpPermissions: [rule] },
          // The response is not used, and a long one is an error.
          outputPaths: ['Return'],
          ignoreErrorCodesMatching: 'InvalidPermission.NotFound',
          physicalResourceId: PhysicalResourceId.of(`${group}/${direction}`),
        },
        policy: AwsCustomResourcePolicy.fromSdkCalls({ resources: [arn] }),
        logGroup: sdkCallsLogGroup(stack),
        timeout: Duration.minutes(1),
      });
    }
  }

  private byId(name: string, subnetIds: readonly string[]): ec2.SubnetSelection {
    const subnets = subnetIds.map((subnetId, index) => ec2.Subnet.fromSubnetId(this, `${name}${index}`, subnetId));
    for (const subnet of subnets) {
      const reason = 'Routes of an existing network belong to its owner';
      Annotations.of(subnet).acknowledgeWarning('@aws-cdk/aws-ec2:noSubnetRouteTableId', reason);
    }
    return { subnets };
  }

  /** In one zone: while that zone fails, functions fail and nothing else does. */
  private secretsManagerEndpoint(settings: Settings): string {
    const security = new ec2.SecurityGroup(this, 'SecretsManagerAccess', {
      vpc: this.vpc,
      description: 'Endpoint of Secrets Manager',
      allowAllOutbound: false,
    });
    security.addIngressRule(this.functions, ec2.Port.tcp(443), 'Functions read and rotate secrets');
    this.functions.addEgressRule(security, ec2.Port.tcp(443), 'Secrets Manager');
    const endpoint = new ec2.InterfaceVpcEndpoint(this, 'SecretsManager', {
      vpc: this.vpc,
      service: ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER,
      subnets: { subnets: this.functionSubnets.subnets?.slice(0, 1) ?? [] },
      securityGroups: [security],
      open: false,
      // Private DNS would lead all of the VPC here, the tasks in every zone too. The functions get the endpoint's name.
      privateDnsEnabled: false,
    });
    endpoint.addToPolicy(this.ourSecretsOnly(settings));
    this.functionsReady.add(endpoint, security);
    // Each entry is `zone:name`; the first name is the regional one.
    return `https://${Fn.select(1, Fn.split(':', Fn.select(0, endpoint.vpcEndpointDnsEntries)))}`;
  }

  /** What the functions do with our secrets: no other secret and no other account through this endpoint. */
  private ourSecretsOnly(settings: Settings): PolicyStatement {
    const stack = Stack.of(this);
    const ours = stack.formatArn({
      service: 'secretsmanager',
      resource: 'secret',
      resourceName: secretName(settings.environment, '*'),
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
    // Read, rotate, and set the tag in which the topology records what it applied.
    const actions = ['DescribeSecret', 'GetSecretValue', 'PutSecretValue', 'TagResource', 'UpdateSecretVersionStage'];
    const { existing } = settings.broker;
    return new PolicyStatement({
      principals: [new AnyPrincipal()],
      actions: actions.map((action) => `secretsmanager:${action}`),
      resources: [ours, ...(existing ? [existing.administratorSecretArn] : [])],
      conditions: { StringEquals: { 'aws:PrincipalAccount': stack.account } },
    });
  }
}
