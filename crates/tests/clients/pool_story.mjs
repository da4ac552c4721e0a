// A pool's day through npm's xen-api, unmodified: the library under Xen Orchestra.
//
// Its own event loop keeps a cache of all objects; this story lets it: every step is read from the cache, never asked
// for. Then the coordinator's power is cut, and the same connection goes on at a survivor.
//
// Called by tests/clients.rs with one argument: the facts of the lab as JSON.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const modules = process.env.HOLDFAST_NODE_MODULES
const { createClient } = await import(pathToFileURL(createRequire(join(modules, 'x.js')).resolve('xen-api')))

const facts = JSON.parse(process.argv[2])
const MEMORY = 128 * 1024 * 1024
const PATIENCE_MS = 60e3

const started = Date.now()
const step = (what, since) =>
  console.log(`node: ${what}${since === undefined ? '' : ` (${((Date.now() - since) / 1e3).toFixed(2)} s)`}`)
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const lab = (...args) => execFileSync(facts.lab[0], [...facts.lab.slice(1), ...args], { stdio: ['ignore', 'inherit', 'inherit'] })

async function until(what, look, limit = PATIENCE_MS) {
  const since = Date.now()
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) {
      return found
    }
    if (Date.now() - since > limit) {
      throw new Error(`not within ${limit / 1e3} s: ${what}`)
    }
    await sleep(20)
  }
}

const client = (host, options) =>
  createClient({
    url: `https://${host.api}`,
    auth: { user: facts.user, password: facts.password },
    allowUnauthorized: true,
    debounce: 20,
    // After an error its loop waits this long: a minute, if it isn't told.
    eventPollDelay: 500,
    ...options,
  })

async function everyHostLetsAClientIn() {
  for (const host of facts.hosts) {
    const xapi = client(host, { watchEvents: false })
    await xapi.connect()
    const hosts = await xapi.getAllRecords('host')
    assert.deepEqual(hosts.map(h => h.name_label).sort(), facts.hosts.map(h => h.name).sort())
    await xapi.disconnect()
  }
  step(`logged in to ${facts.hosts.length} hosts`)
}

async function theCacheIsThePool(xapi) {
  await xapi.objectsFetched
  const cached = Object.values(xapi.objects.all)
  for (const type of ['host', 'VM', 'SR', 'network', 'pool']) {
    const asked = await xapi.getAllRecords(type)
    const known = cached.filter(o => o.$type === type).map(o => o.$ref).sort()
    assert.deepEqual(known, asked.map(o => o.$ref).sort(), `the cache's ${type} records`)
  }
  step(`fetched ${cached.length} objects of ${new Set(cached.map(o => o.$type)).size} classes`)
}

async function aVmIsMade(xapi) {
  const find = (type, test) => Object.values(xapi.objects.all).find(o => o.$type === type && test(o))
  const template = find('VM', o => o.is_a_template && o.name_label === 'Other install media')
  const vm = await xapi.callAsync('VM.clone', template.$ref, "node's")
  await xapi.call('VM.provision', vm)
  await xapi.call('VM.set_memory_limits', vm, MEMORY, MEMORY, MEMORY, MEMORY)
  await xapi.setField('VM', vm, 'HVM_boot_policy', 'BIOS order')
  await xapi.setFieldEntry('VM', vm, 'HVM_boot_params', 'order', 'c')
  const sr = find('SR', o => o.name_label === 'shared')
  const uuid = randomUUID()
  copyFileSync(facts.image, join(facts.shared, `${uuid}.qcow2`))
  await xapi.callAsync('SR.scan', sr.$ref)
  const golden = await xapi.call('VDI.get_by_uuid', uuid)
  const vdi = await xapi.callAsync('VDI.clone', golden)
  await xapi.call('VBD.create', {
    VM: vm,
    VDI: vdi,
    userdevice: '0',
    bootable: true,
    mode: 'RW',
    type: 'Disk',
    empty: false,
    other_config: {},
    qos_algorithm_type: '',
    qos_algorithm_params: {},
  })
  // A write, then everything up to it is in the cache.
  const record = await xapi.barrier(vm)
  assert.equal(record.name_label, "node's")
  assert.equal(record.is_a_template, false)
  assert.equal(record.VBDs.length, 1)
  assert.equal(record.memory_static_max, MEMORY)
  step('made a VM from a template; the barrier brought it into the cache')
  return vm
}

const cachedState = (xapi, vm, state) =>
  until(`the cache to say ${state}`, () => xapi.getObjectByRef(vm).power_state === state)

async function aVmLives(xapi, vm) {
  const does = async (what, state, ...args) => {
    const since = Date.now()
    await xapi.callAsync(`VM.${what}`, vm, ...args)
    await cachedState(xapi, vm, state)
    step(`${what}: ${state} in the cache`, since)
  }
  await does('start', 'Running', false, false)
  await assert.rejects(xapi.callAsync('VM.start', vm, false, false), { code: 'VM_BAD_POWER_STATE' })
  await assert.rejects(xapi.call('VM.start', vm, false, false), { code: 'VM_BAD_POWER_STATE' })
  await does('pause', 'Paused')
  await does('unpause', 'Running')
  await does('suspend', 'Suspended')
  await does('resume', 'Running', false, false)
  const snapshot = await xapi.callAsync('VM.snapshot', vm, 'before the move')
  await until('the snapshot in the cache', () => xapi.getObjectByRef(snapshot, undefined)?.snapshot_of === vm)
  step('snapshot: in the cache')
  if (facts.hosts.length > 1) {
    const since = Date.now()
    const here = xapi.getObjectByRef(vm).resident_on
    const target = Object.values(xapi.objects.all).find(o => o.$type === 'host' && o.$ref !== here)
    await xapi.callAsync('VM.pool_migrate', vm, target.$ref, { live: 'true' })
    await until('the cache to show the move', () => xapi.getObjectByRef(vm).resident_on === target.$ref)
    step('migrate: moved in the cache', since)
  }
}

// proves: S1-17 (lab)
async function aSurvivorCarriesOn(xapi, vm, coordinator, master) {
  const session = xapi.sessionId
  const lost = []
  xapi.on('eventFetchingError', error => lost.push(error))
  lab('fail', coordinator.name, 'power')
  const since = Date.now()
  assert.ok((await xapi.getRecord('VM', vm)).uuid)
  step(`power of ${coordinator.name} cut; a read answered`, since)
  let refused = 0
  await until('a write', async () => {
    try {
      await xapi.setField('VM', vm, 'name_description', 'written after the cut')
      return true
    } catch (error) {
      assert.equal(error.code, 'HOST_IN_EMERGENCY_MODE')
      ++refused
      return false
    }
  }, 30e3)
  step(`first write accepted after ${refused} refusals`, since)
  await until('the write in the cache', () => xapi.getObjectByRef(vm).name_description === 'written after the cut')
  step('the event loop went on', since)
  await until('another coordinator', () => xapi.pool.master !== master, 30e3)
  step('another coordinator is in the cache', since)
  assert.equal(xapi.sessionId, session, 'the client had to log in again')
  assert.deepEqual(lost, [], 'the event loop broke')
}

async function aVmStops(xapi, vm) {
  for (const snapshot of xapi.getObjectByRef(vm).snapshots) {
    const disks = xapi.getObjectByRef(snapshot).VBDs.map(vbd => xapi.getObjectByRef(vbd).VDI)
    await xapi.callAsync('VM.destroy', snapshot)
    for (const disk of disks) {
      await xapi.callAsync('VDI.destroy', disk)
    }
  }
  await xapi.callAsync('VM.hard_shutdown', vm)
  await cachedState(xapi, vm, 'Halted')
  await xapi.callAsync('VM.destroy', vm)
  await until('the VM to leave the cache', () => xapi.getObjectByRef(vm, undefined) === undefined)
  step('stopped and destroyed')
}

await everyHostLetsAClientIn()
const probe = client(facts.hosts.at(-1), { watchEvents: false })
await probe.connect()
const master = (await probe.getAllRecords('pool'))[0].master
const masterName = (await probe.getRecord('host', master)).name_label
await probe.disconnect()
const coordinator = facts.hosts.find(h => h.name === masterName)
const survivor = facts.hosts.find(h => h.name !== masterName) ?? facts.hosts[0]
const xapi = client(survivor)
await xapi.connect()
await theCacheIsThePool(xapi)
const vm = await aVmIsMade(xapi)
await aVmLives(xapi, vm)
if (facts.hosts.length > 2) {
  if (xapi.getObjectByRef(vm).resident_on === master) {
    const there = Object.values(xapi.objects.all).find(o => o.$type === 'host' && o.name_label === survivor.name)
    await xapi.callAsync('VM.pool_migrate', vm, there.$ref, { live: 'true' })
  }
  await aSurvivorCarriesOn(xapi, vm, coordinator, master)
}
await aVmStops(xapi, vm)
await xapi.disconnect()
step(`done`, started)
process.exit(0)
