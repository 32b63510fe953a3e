// The DNAT scenario with the TypeScript SDKs: ACS3-HMAC-SHA256. See world.py for the environment.
'use strict';
const assert = require('node:assert');
const { spawn, spawnSync } = require('node:child_process');
const { $OpenApiUtil } = require('@alicloud/openapi-core');
const vpc = require('@alicloud/vpc20160428');
const ecs = require('@alicloud/ecs20140526');

const env = process.env;
const regionId = 'cn-hangzhou';
const config = new $OpenApiUtil.Config({
  accessKeyId: env.SLUICE_KEY, accessKeySecret: env.SLUICE_SECRET, regionId,
  endpoint: env.SLUICE_ENDPOINT, protocol: 'HTTP',
});
const v = new vpc.default(config);
const e = new ecs.default(config);
const show = (step, value = '') => console.log(step, JSON.stringify(value));

const words = (text, instance) => text.split(' ').map((word) => word.replace('{instance}', instance));
const curl = (command, url) => {
  const [program, ...args] = [...command, 'curl', '-sS', '--max-time', '5', url];
  const done = spawnSync(program, args, { encoding: 'utf8' });
  return done.status === 0 ? done.stdout : null;
};
const fetchOutside = (url) => curl(words(env.SLUICE_CLIENT), url);

function web(instance) {
  const [program, ...args] = words(env.SLUICE_EXEC, instance);
  const server = spawn(program, [...args, 'python3', `${__dirname}/web.py`, instance], { stdio: 'inherit' });
  for (let n = 0; n < 100; n++) {
    if (curl(words(env.SLUICE_EXEC, instance), 'http://127.0.0.1/') !== null) return server;
    spawnSync('sleep', ['0.1']);
  }
  throw new Error(`the web server of ${instance} does not answer`);
}

async function refused(code, call) {
  await assert.rejects(call, (error) => { assert.match(error.code, code); return true; });
}

async function main() {
  const made = (await v.createVpc(new vpc.CreateVpcRequest({
    regionId, cidrBlock: '10.0.0.0/8', vpcName: 'ts', description: "it's (a) test! *",
    tag: [new vpc.CreateVpcRequestTag({ key: 'env', value: 'test' })],
  }))).body;
  const vpcId = made.vpcId;
  show('vpc', vpcId);
  const shown = (await v.describeVpcs(new vpc.DescribeVpcsRequest({ regionId, vpcId }))).body;
  assert.strictEqual(shown.vpcs.vpc[0].description, "it's (a) test! *");
  assert.strictEqual(shown.vpcs.vpc[0].tags.tag[0].value, 'test');
  const { vSwitchId } = (await v.createVSwitch(new vpc.CreateVSwitchRequest({
    regionId, vpcId, zoneId: 'cn-hangzhou-i', cidrBlock: '10.1.0.0/24' }))).body;
  const { securityGroupId } = (await e.createSecurityGroup(new ecs.CreateSecurityGroupRequest({ regionId, vpcId }))).body;
  await e.authorizeSecurityGroup(new ecs.AuthorizeSecurityGroupRequest({
    regionId, securityGroupId, permissions: [new ecs.AuthorizeSecurityGroupRequestPermissions({
      ipProtocol: 'TCP', portRange: '80/80', sourceCidrIp: '0.0.0.0/0' })],
  }));
  const run = (await e.runInstances(new ecs.RunInstancesRequest({
    regionId, imageId: 'netns', instanceType: 'ecs.netns', vSwitchId, securityGroupId }))).body;
  const instance = run.instanceIdSets.instanceIdSet[0];
  show('instance', instance);
  const described = (await e.describeInstances(new ecs.DescribeInstancesRequest({
    regionId, instanceIds: JSON.stringify([instance]) }))).body.instances.instance[0];
  assert.strictEqual(described.status, 'Running');
  const internalIp = described.vpcAttributes.privateIpAddress.ipAddress[0];

  const gateway = (await v.createNatGateway(new vpc.CreateNatGatewayRequest({
    regionId, vpcId, vSwitchId, natType: 'Enhanced', icmpReplyEnabled: false }))).body;
  const { natGatewayId } = gateway;
  const forwardTableId = gateway.forwardTableIds.forwardTableId[0];
  const snatTableId = gateway.snatTableIds.snatTableId[0];
  const eip = (await v.allocateEipAddress(new vpc.AllocateEipAddressRequest({ regionId, bandwidth: '50' }))).body;
  await v.associateEipAddress(new vpc.AssociateEipAddressRequest({
    regionId, allocationId: eip.allocationId, instanceId: natGatewayId, instanceType: 'Nat' }));
  await v.createSnatEntry(new vpc.CreateSnatEntryRequest({
    regionId, snatTableId, sourceCIDR: '10.0.0.0/8', snatIp: eip.eipAddress }));
  const entry = (await v.createForwardEntry(new vpc.CreateForwardEntryRequest({
    regionId, forwardTableId, externalIp: eip.eipAddress, externalPort: '80', internalIp, internalPort: '80',
    ipProtocol: 'tcp' }))).body;
  const entries = (await v.describeForwardTableEntries(new vpc.DescribeForwardTableEntriesRequest({ regionId, forwardTableId }))).body;
  assert.strictEqual(entries.forwardTableEntries.forwardTableEntry[0].forwardEntryId, entry.forwardEntryId);
  const gateways = (await v.describeNatGateways(new vpc.DescribeNatGatewaysRequest({ regionId, vpcId }))).body;
  assert.strictEqual(gateways.natGateways.natGateway[0].icmpReplyEnabled, false);
  assert.strictEqual(gateways.natGateways.natGateway[0].status, 'Available');

  const server = web(instance);
  try {
    assert.strictEqual(fetchOutside(`http://${eip.eipAddress}/`), instance);
  } finally {
    server.kill();
  }

  await refused(/^DependencyViolation/, v.deleteVpc(new vpc.DeleteVpcRequest({ regionId, vpcId })));
  await v.deleteNatGateway(new vpc.DeleteNatGatewayRequest({ regionId, natGatewayId, force: true }));
  await v.releaseEipAddress(new vpc.ReleaseEipAddressRequest({ regionId, allocationId: eip.allocationId }));
  await e.deleteInstance(new ecs.DeleteInstanceRequest({ instanceId: instance, force: true }));
  await e.deleteSecurityGroup(new ecs.DeleteSecurityGroupRequest({ regionId, securityGroupId }));
  await v.deleteVSwitch(new vpc.DeleteVSwitchRequest({ regionId, vSwitchId }));
  await v.deleteVpc(new vpc.DeleteVpcRequest({ regionId, vpcId }));
  assert.strictEqual((await v.describeVpcs(new vpc.DescribeVpcsRequest({ regionId, vpcId }))).body.totalCount, 0);
  show('done');
}

main().catch((error) => { console.error(error); process.exit(1); });
