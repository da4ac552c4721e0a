// The page: what xe pool-status, host-diagnose and pool-readiness say, and the few acts an admin needs when something failed.
//
// Talks JSON-RPC like anyone else and knows nothing the API does not tell. It may be opened on any host (S2-9) and goes on at
// another when that one is silent (S2-18): reads are asked again elsewhere, acts never are, since one that got no answer may
// have been done. Nothing from the pool is ever put into the page as markup.
'use strict'

const READ_LIMIT_MS = 12e3
const ACT_LIMIT_MS = 35e3
const LOOK_MS = 3e3
const READY_MS = 30e3
const EVENT_WAIT_S = 20
const SHOWN_VMS = 200
const KEPT = 'holdfast'
const NULL_REF = 'OpaqueRef:NULL'

const at = id => document.getElementById(id)

/** An element with attributes and children; texts stay texts. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') {
      made.addEventListener(name, value)
    } else if (value !== undefined && value !== false) {
      made.setAttribute(name, value === true ? '' : value)
    }
  }
  made.append(...children.flat().filter(child => child !== undefined && child !== null))
  return made
}

const fill = (id, ...children) => at(id).replaceChildren(...children.flat())
const named = thing => (thing && (thing.name_label || thing.uuid)) || '(unknown)'

// ---- the pool's hosts, and calls to one of them ---------------------------------------------------------------------

const remembered = () => {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) || []
  } catch {
    return []
  }
}

const state = {
  /** Where calls go now; the page's own host first. */
  origin: location.origin,
  /** Other hosts' origins, from the last status that was seen, kept in this browser. */
  others: remembered(),
  session: undefined,
  user: undefined,
  records: { host: new Map(), vm: new Map(), sr: new Map(), pbd: new Map(), task: new Map(), pool: new Map() },
  status: undefined,
  started: new Map(),
  generation: 0,
}

class ApiError extends Error {
  constructor(description) {
    super(description.join(': '))
    this.code = description[0]
  }
}

class Silence extends Error {}

async function post(origin, method, params, limit) {
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), limit)
  let answer
  try {
    const response = await fetch(`${origin}/jsonrpc`, {
      method: 'POST',
      // Any content type is taken; this one needs no question beforehand when the host is another one.
      headers: { 'Content-Type': 'text/plain' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      signal: stop.signal,
      credentials: 'omit',
    })
    answer = await response.json()
  } catch (error) {
    throw new Silence(stop.signal.aborted ? `nothing within ${limit / 1e3} s` : String(error.message || error))
  } finally {
    clearTimeout(timer)
  }
  if (answer.error) {
    const { message, data } = answer.error
    throw new ApiError([message, ...(Array.isArray(data) ? data : [])].map(String))
  }
  return answer.result
}

/** A read: asked of the other hosts when this one is silent. */
async function read(method, params = [], limit = READ_LIMIT_MS) {
  const origins = [state.origin, ...[location.origin, ...state.others].filter(o => o !== state.origin)]
  const silent = []
  for (const origin of new Set(origins)) {
    try {
      const result = await post(origin, method, params, limit)
      if (origin !== state.origin) {
        state.origin = origin
      }
      trouble('host', silent.length ? `${silent.join('; ')}. Asking ${origin} instead.` : moved())
      return result
    } catch (error) {
      if (!(error instanceof Silence)) {
        throw error
      }
      silent.push(`${origin} is silent (${error.message})`)
    }
  }
  throw new Silence(`No host of the pool answers: ${silent.join('; ')}. On any host's console, xe pool-status says what it knows.`)
}

/** What is wrong with asking; each source of trouble clears its own. */
const troubles = new Map()

function trouble(source, text) {
  text ? troubles.set(source, text) : troubles.delete(source)
  const all = [...troubles.values()].join(' ')
  if (at('notice').textContent !== all) {
    at('notice').textContent = all
  }
}

const moved = () => (state.origin === location.origin ? '' : `This page is from ${location.origin}, which was silent; ${state.origin} answers.`)

/** An act: sent once. */
async function act(method, ...params) {
  try {
    return await post(state.origin, method, [state.session, ...params], ACT_LIMIT_MS)
  } catch (error) {
    if (error instanceof Silence) {
      throw new Error(`${state.origin} gave no answer (${error.message}). It is not known whether it was done: look at the tables before trying again.`)
    }
    throw error
  }
}

const ask = async (method, ...params) => JSON.parse(await read(method, [state.session, ...params]))

// ---- what is shown --------------------------------------------------------------------------------------------------

const COLOURS = { ok: 'good', healthy: 'good', green: 'good', degraded: 'warn', warning: 'warn', yellow: 'warn', amber: 'warn', note: '' }
const colour = word => COLOURS[word] ?? 'bad'

function leader(status) {
  const { copy, majority } = status.coordinator
  if (status.database === 'embedded') {
    return ['this host', 'a pool of one host needs nobody else']
  }
  if (majority && majority.uuid) {
    return [`${named(majority)}, term ${majority.term}`, "a majority of the database's voters says so"]
  }
  if (majority && majority.nobody) {
    return ['nobody', "a majority of the database's voters says so"]
  }
  if (copy) {
    return [`${named(copy)}, term ${copy.term}`, `only this host's own copy says so; the majority is silent: ${majority?.silent ?? 'not asked'}`]
  }
  return ['unknown', 'nobody could be asked']
}

const age = ms => (ms === null || ms === undefined ? 'never confirmed in this run' : ms < 1000 ? `${ms} ms old` : `${Math.round(ms / 1000)} s old`)

function showStatus(status) {
  state.status = status
  state.others = status.hosts.filter(host => host.address).map(host => `https://${host.address.includes(':') ? `[${host.address}]` : host.address}`)
  localStorage.setItem(KEPT, JSON.stringify(state.others))
  at('pool').textContent = (status.pool && status.pool.name_label) || `Pool of ${[status.seen_by, ...status.hosts].map(named).sort().join(', ')}`
  document.title = `${at('pool').textContent}: ${status.status}`
  at('health').textContent = status.status
  at('health').className = `badge ${colour(status.status)}`
  at('seen-by').textContent = `as host ${named(status.seen_by)} sees it`
  const [who, says] = leader(status)
  const facts = [
    ['Coordinator', who, says],
    ['Database', status.quorum ? 'a majority answers; changes are possible' : 'no majority answers; nothing can be changed', `this host's copy is ${age(status.replica_age_ms)}`],
    ...status.voters.map(voter => ['Voter', `${named(voter)}${voter.leads ? ', leads the database' : ''}`, voter.answer?.text ?? 'not asked']),
  ]
  if (status.safe_mode) {
    facts.push(['Safe mode', status.safe_mode.why, `off: ${(status.safe_mode.off || []).join(', ')}`])
  }
  fill('truth', facts.map(([term, what, by]) => [el('dt', {}, term), el('dd', {}, what, el('small', {}, by))]).flat())
  fill('findings', status.findings.length ? status.findings.map(showFinding) : el('p', { class: 'good' }, 'Nothing.'))
  showHosts()
  showVms()
}

const showFinding = finding =>
  el('div', { class: `finding ${finding.weight === 'failure' ? 'bad' : finding.weight === 'warning' ? 'warn' : ''}` },
    el('p', {}, el('strong', {}, finding.line)),
    el('ul', {}, el('li', {}, `said by ${finding.said_by}`), finding.evidence.map(line => el('li', {}, line))),
    el('p', {}, `Safe now: ${finding.safe}`),
    el('p', { class: 'next' }, `Next: ${finding.next}`))

const byUuid = (cls, uuid) => [...state.records[cls].entries()].find(([, record]) => record.uuid === uuid)
const isLeader = uuid => {
  const { copy, majority } = state.status.coordinator
  return state.status.database === 'embedded' || (majority?.uuid ?? copy?.uuid) === uuid
}

/** The host that answers knows itself without asking: what it says of the others is in the status. */
function itself(status) {
  const [, record] = byUuid('host', status.seen_by.uuid) || []
  const says = status.quorum ? `says that it is ${status.host_status}` : 'runs, but has lost the majority: it starts and changes nothing'
  return { ...status.seen_by, address: record?.address ?? '', live: true, lease: status.quorum, reach: says, itself: true }
}

function hostState(host) {
  if (host.fenced) {
    return ['fenced', 'bad', 'proved to have stopped']
  }
  if (host.live) {
    return [host.lease || state.status.database === 'embedded' ? 'live' : 'late', host.lease || state.status.database === 'embedded' ? 'good' : 'warn', host.reach]
  }
  return ['not live', 'bad', host.reach]
}

const answered = answer => (answer ? el('span', { class: answer.answers ? 'good' : 'bad' }, answer.text) : 'not asked')

function showHosts() {
  const running = new Map()
  for (const vm of state.records.vm.values()) {
    if (!vm.is_control_domain && (vm.power_state === 'Running' || vm.power_state === 'Paused')) {
      running.set(vm.resident_on, (running.get(vm.resident_on) || 0) + 1)
    }
  }
  const hosts = [itself(state.status), ...state.status.hosts].sort((a, b) => a.name_label.localeCompare(b.name_label))
  const rows = hosts.map(host => {
    const [word, kind, why] = hostState(host)
    const [ref, record] = byUuid('host', host.uuid) || []
    const self = host.itself
    const roles = [isLeader(host.uuid) ? 'coordinator' : undefined, self ? 'answers this page' : undefined, record && !record.enabled ? 'disabled' : undefined]
    return el('tr', { 'data-host': host.name_label, 'data-state': word, 'data-coordinator': String(isLeader(host.uuid)) },
      el('td', {}, host.name_label, el('small', {}, [host.address, ...roles].filter(Boolean).join(', '))),
      el('td', {}, el('span', { class: kind }, word), el('small', {}, why), (host.failures || []).map(f => el('small', { class: 'bad' }, String(f)))),
      el('td', {}, self ? 'itself' : host.heard_ms == null ? 'not heard' : `${(host.heard_ms / 1000).toFixed(1)} s ago`),
      el('td', {}, self ? '' : answered(host.ping)),
      el('td', {}, self ? '' : answered(host.tcp)),
      el('td', {}, self ? '' : answered(host.api)),
      el('td', {}, String(running.get(ref) || 0)),
      el('td', {}, ref ? hostActs(host, ref) : ''))
  })
  if (!at('hosts').contains(document.activeElement) || document.activeElement.tagName !== 'BUTTON') {
    fill('hosts', rows)
  }
}

function hostActs(host, ref) {
  const acts = [['Power on', () => powerOn(host, ref)]]
  if (host.live) {
    acts.push(['Shut down…', () => stopHost(host, ref, 'shutdown', 'Shut down')], ['Reboot…', () => stopHost(host, ref, 'reboot', 'Reboot')])
  } else {
    acts.push(['Recover…', () => recover(host, ref)])
  }
  return acts.map(([label, click]) => [el('button', { click }, label), ' ']).flat()
}

function showVms() {
  if (!state.status) {
    return
  }
  const unknown = new Map(state.status.guests_unknown.map(guest => [guest.uuid, guest]))
  const wanted = at('vm-filter').value.toLowerCase()
  const all = [...state.records.vm.values()].filter(vm => !vm.is_a_template && !vm.is_a_snapshot && !vm.is_control_domain)
  const found = all.filter(vm => vm.name_label.toLowerCase().includes(wanted)).sort((a, b) => a.name_label.localeCompare(b.name_label))
  at('vm-count').textContent = `${found.length} of ${all.length}${found.length > SHOWN_VMS ? `, the first ${SHOWN_VMS} shown` : ''}`
  fill('vms', found.slice(0, SHOWN_VMS).map(vm => {
    const lost = unknown.get(vm.uuid)
    const since = lost && (lost.unknown_for_s === null ? '' : ` since ${lost.unknown_for_s} s`)
    const where = state.records.host.get(vm.resident_on)
    return el('tr', { 'data-vm': vm.name_label, 'data-state': lost ? 'unknown' : vm.power_state },
      el('td', {}, vm.name_label, el('small', {}, vm.uuid)),
      el('td', {}, lost ? el('span', { class: 'warn' }, `unknown${since}`) : vm.power_state),
      el('td', {}, lost ? `last on ${named(lost.last_on)}` : where ? where.name_label : ''),
      el('td', {}, `${Math.round(Number(vm.memory_static_max) / 1048576)} MiB`))
  }))
}

function showSrs() {
  const srs = [...state.records.sr.entries()].sort(([, a], [, b]) => a.name_label.localeCompare(b.name_label))
  const hosts = state.records.host.size
  fill('srs', srs.map(([ref, sr]) => {
    const pbds = [...state.records.pbd.values()].filter(pbd => pbd.SR === ref)
    const attached = pbds.filter(pbd => pbd.currently_attached).length
    const wanted = sr.shared ? hosts : 1
    return el('tr', { 'data-sr': sr.name_label },
      el('td', {}, sr.name_label, el('small', {}, sr.uuid)),
      el('td', {}, `${sr.type}${sr.shared ? ', shared' : ''}`),
      el('td', { class: attached < wanted ? 'bad' : 'good' }, `${attached} of ${wanted} hosts`),
      el('td', {}, attached < wanted ? el('button', { click: () => repair(ref, sr) }, 'Repair…') : ''))
  }))
}

const showReadiness = ready =>
  fill('readiness', ready.rows.map(row =>
    el('tr', { 'data-failure': row.failure, 'data-colour': row.colour },
      el('td', {}, row.failure),
      el('td', { class: colour(row.colour) }, row.colour),
      el('td', {}, row.missing.length ? row.missing.map(m => [el('div', {}, m.what), el('small', { class: 'next' }, m.next)]).flat() : 'nothing'))))

function showTasks() {
  fill('tasks', [...state.started].reverse().map(([ref, { what, stages }]) => {
    const task = state.records.task.get(ref)
    const progress = task ? Number(task.progress) : 0
    const stage = stages && task?.status === 'pending' ? stages[Math.min(stages.length - 1, Math.floor(progress * stages.length))] : ''
    const outcome = !task ? 'asked' : task.status === 'success' ? 'done' : task.status === 'pending' ? stage || 'at work' : task.error_info.join(': ') || task.status
    return el('tr', { 'data-task': what, 'data-status': task?.status ?? 'asked' },
      el('td', {}, what),
      el('td', {}, el('progress', { max: 1, value: task && task.status !== 'pending' ? 1 : progress })),
      el('td', { class: task?.status === 'failure' ? 'bad' : '' }, outcome))
  }))
}

// ---- acts -----------------------------------------------------------------------------------------------------------

function dialog(title, content, choices) {
  const close = () => {
    at('veil').hidden = true
  }
  const error = el('p', { class: 'bad', role: 'alert' })
  const buttons = choices.map(([label, run, kind]) =>
    el('button', {
      class: kind,
      click: async () => {
        try {
          error.textContent = ''
          if ((await run?.()) !== false) {
            close()
          }
        } catch (problem) {
          error.textContent = problem.message
        }
      },
    }, label))
  fill('dialog', el('h2', { id: 'dialog-title' }, title), content, error, el('div', { class: 'buttons' }, buttons, el('button', { click: close }, 'Leave it')))
  at('veil').hidden = false
  const first = at('dialog').querySelector('button.main, input')
  first?.focus()
}

/** Starts an asynchronous message and follows its task. */
async function begin(what, stages, message, ...params) {
  const task = await act(`Async.${message}`, ...params)
  state.started.set(task, { what, stages })
  showTasks()
  return task
}

async function ended(ref) {
  for (;;) {
    const task = state.records.task.get(ref)
    if (task && task.status !== 'pending' && task.status !== 'cancelling') {
      if (task.status !== 'success') {
        throw new Error(task.error_info.join(': ') || task.status)
      }
      return task.result
    }
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}

const POWER_STAGES = ['switching the power on', 'power is on, waiting for the daemon', 'the daemon answers, waiting for it to join', 'joined']

const powerOn = (host, ref) =>
  dialog(`Power on ${host.name_label}`, el('p', {}, 'Its power device switches it on; progress follows below: power, boot, daemon, joined.'),
    [['Power on', () => begin(`power on ${host.name_label}`, POWER_STAGES, 'host.power_on', ref), 'main']])

function stopHost(host, ref, message, label) {
  const leads = isLeader(host.uuid) && state.status.hosts.length > 0
  const text = leads
    ? `${host.name_label} is the pool's coordinator. By default its role is handed over and its VMs move to other hosts first; nothing is interrupted.`
    : `By default the VMs of ${host.name_label} move to other hosts first; nothing is interrupted.`
  const careful = async () => {
    await ended(await begin(`take ${host.name_label} out of service`, undefined, 'host.holdfast_enter_maintenance', ref))
    await begin(`${label.toLowerCase()} ${host.name_label}`, undefined, `host.${message}`, ref)
  }
  const blunt = async () => {
    await act('host.disable', ref)
    await begin(`${label.toLowerCase()} ${host.name_label}`, undefined, `host.${message}`, ref)
  }
  dialog(`${label} ${host.name_label}`, el('p', {}, text), [
    [leads ? `Hand over, move VMs, then ${label.toLowerCase()}` : `Move VMs, then ${label.toLowerCase()}`, careful, 'main'],
    [`${label} at once (refused while VMs run there)`, blunt],
  ])
}

async function recover(host, ref) {
  let plan
  try {
    plan = JSON.parse(await act('host.holdfast_recover', ref, true, true, ''))
  } catch (error) {
    dialog(`Recover from ${host.name_label}`, el('p', { class: 'bad' }, error.message), [])
    return
  }
  const words = el('input', { placeholder: `${host.name_label} is powered off`, 'aria-label': 'Your statement' })
  dialog(`Recover from ${host.name_label}`, [
    el('p', {}, 'This is the plan. Nothing has been changed.'),
    el('ol', {}, plan.steps.map(step => el('li', {}, el('strong', {}, `${step.what} `), step.text))),
    plan.blocked ? el("p", { class: "warn" }, plan.blocked) : "",
    el('p', {}, `If nothing else proves that ${host.name_label} has stopped, your word does. Only if you know that it is off, type: ${host.name_label} is powered off. It is kept. A lie costs data.`),
    words,
  ], [['Recover', () => begin(`recover from ${host.name_label}`, undefined, 'host.holdfast_recover', ref, false, true, words.value), 'main']])
}

async function repair(ref, sr) {
  const show = report => el('ul', {}, report.hosts.map(h => el('li', {}, `${h.name}: ${h.why ?? h.text ?? h.outcome}`)))
  dialog(`Repair ${sr.name_label}`, el('p', {}, 'Missing attachments are made and plugged on each host. Each host says what became of it.'),
    [['Repair', async () => {
      const result = await ended(await begin(`repair ${sr.name_label}`, undefined, 'SR.holdfast_repair', ref, [], {}, false))
      const report = JSON.parse(result.replace(/^<value>|<\/value>$/g, ''))
      dialog(`Repaired ${sr.name_label}`, show(report), [])
      return false
    }, 'main']])
}

// ---- staying up to date ---------------------------------------------------------------------------------------------

const CLASSES = Object.keys(state.records)

async function follow(generation) {
  let token = ''
  while (generation === state.generation) {
    try {
      const batch = await read('event.from', [state.session, CLASSES, token, EVENT_WAIT_S], (EVENT_WAIT_S + 15) * 1e3)
      if (generation !== state.generation) {
        return
      }
      if (token === '') {
        CLASSES.forEach(cls => state.records[cls].clear())
      }
      token = batch.token
      const touched = new Set()
      for (const event of batch.events) {
        const kept = state.records[event.class.toLowerCase()]
        if (kept) {
          touched.add(event.class.toLowerCase())
          event.operation === 'del' ? kept.delete(event.ref) : kept.set(event.ref, event.snapshot)
        }
      }
      if (touched.has('vm')) showVms()
      if (state.status && (touched.has('host') || touched.has('vm'))) showHosts()
      if (touched.has('sr') || touched.has('pbd') || touched.has('host')) showSrs()
      if (touched.has('task')) showTasks()
    } catch (error) {
      if (error.code === 'SESSION_INVALID') {
        return
      }
      token = error.code === 'EVENTS_LOST' ? '' : token
      await pause(1e3)
    }
  }
}

const pause = ms => new Promise(resolve => setTimeout(resolve, ms))

async function look(generation, every, method, show) {
  while (generation === state.generation) {
    try {
      const answer = await ask(method)
      if (generation === state.generation) {
        show(answer)
        trouble(method)
      }
    } catch (error) {
      if (error.code === 'SESSION_INVALID') {
        return logOut('The session has ended.')
      }
      trouble(method, error.message)
    }
    await pause(every)
  }
}

async function logIn(event) {
  event.preventDefault()
  at('log-in-error').textContent = ''
  try {
    const user = at('user').value
    state.session = await read('session.login_with_password', [user, at('password').value, '1.0', 'holdfast page'])
    state.user = user
    enter()
  } catch (error) {
    at('log-in-error').textContent = error.message
  }
}

function enter() {
  at('password').value = ''
  at('log-in').hidden = true
  at('main').hidden = false
  at('log-out').hidden = false
  at('who').textContent = `logged in as ${state.user}`
  const generation = ++state.generation
  look(generation, LOOK_MS, 'pool.holdfast_status', showStatus)
  look(generation, READY_MS, 'pool.holdfast_readiness', showReadiness)
  follow(generation)
}

function logOut(why = '') {
  const session = state.session
  state.generation++
  state.session = undefined
  state.status = undefined
  troubles.clear()
  trouble('host')
  CLASSES.forEach(cls => state.records[cls].clear())
  at('main').hidden = true
  at('log-out').hidden = true
  at('log-in').hidden = false
  at('who').textContent = ''
  at('log-in-error').textContent = why
  if (session && !why) {
    post(state.origin, 'session.logout', [session], READ_LIMIT_MS).catch(() => {})
  }
}

at('log-in').addEventListener('submit', logIn)
at('log-out').addEventListener('click', () => logOut())
at('vm-filter').addEventListener('input', showVms)
