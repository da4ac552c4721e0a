// The page in a browser's document model (jsdom, unmodified), on the pool's own network.
//
// It is opened on every host, before and after the coordinator's power cut, and one that was opened on the host that dies
// goes on at a survivor. What people read is read: rows of the tables, not answers of the API.
//
// Called by tests/page.rs with one argument, the facts of the lab as JSON, on a machine of the lab's network.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

const modules = process.env.HOLDFAST_NODE_MODULES
const { JSDOM, VirtualConsole } = await import(pathToFileURL(createRequire(join(modules, 'x.js')).resolve('jsdom')))

const facts = JSON.parse(process.argv[2])
const addresses = process.env.HOLDFAST_HOSTS.split(',')
const origins = new Map(facts.hosts.map((host, n) => [host.name, `https://${addresses[n]}`]))
const PATIENCE_MS = 60e3

const started = Date.now()
const step = what => console.log(`page: ${what} (${((Date.now() - started) / 1e3).toFixed(1)} s)`)
const lab = (...args) => execFileSync(facts.lab[0], [...facts.lab.slice(1), ...args], { stdio: ['ignore', 'inherit', 'inherit'] })

/** What the open page says of trouble, for the text of a failure. */
let told = () => ''

async function until(what, look, limit = PATIENCE_MS) {
  const since = Date.now()
  let seen
  for (;;) {
    try {
      const found = await look()
      if (found) {
        return found
      }
      seen = found
    } catch (error) {
      seen = error
    }
    if (Date.now() - since > limit) {
      throw new Error(`not within ${limit / 1e3} s: ${what}; last seen: ${seen}; ${told()}`)
    }
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** Opens the page as a host serves it; scripts run, and calls go over the real network. */
async function open(origin) {
  const complaints = []
  const virtualConsole = new VirtualConsole()
  virtualConsole.on('jsdomError', error => complaints.push(error))
  // jsdom fetches no scripts over TLS with a CA of ours by itself: the files are fetched as a browser would and put in place.
  const get = async path => {
    const response = await fetch(origin + path)
    assert.equal(response.status, 200, path)
    assert.match(response.headers.get('content-security-policy'), /default-src 'none'/)
    return response.text()
  }
  const [html, script] = [await get('/'), await get('/page.js')]
  assert.match(html, /<script src="page.js" defer><\/script>/)
  const dom = new JSDOM(html, {
    url: `${origin}/`,
    runScripts: 'outside-only',
    pretendToBeVisual: true,
    virtualConsole,
    beforeParse: window => {
      // A browser says where a call comes from, and hides an answer that does not permit it.
      window.fetch = async (url, options) => {
        const response = await fetch(url, { ...options, headers: { ...options.headers, origin } })
        if (new URL(url).origin !== origin) {
          assert.equal(response.headers.get('access-control-allow-origin'), origin)
        }
        return response
      }
      window.AbortController = AbortController
    },
  })
  dom.window.eval(script)
  const document = dom.window.document
  const page = {
    dom,
    complaints,
    text: id => document.getElementById(id).textContent,
    row: selector => document.querySelector(selector),
    rows: id => [...document.getElementById(id).children],
    press: (within, label) => {
      const button = [...within.querySelectorAll('button')].find(b => b.textContent.startsWith(label))
      assert.ok(button, `a button '${label}'`)
      button.click()
    },
    dialog: () => document.getElementById('dialog'),
    logIn: async () => {
      document.getElementById('user').value = facts.user
      document.getElementById('password').value = facts.password
      document.getElementById('log-in').dispatchEvent(new dom.window.Event('submit', { cancelable: true }))
      await until('the page shows the hosts', () => page.rows('hosts').length === facts.hosts.length)
    },
    close: () => {
      assert.deepEqual(complaints, [])
      // Closing the window would take the document from under the answers that are still on their way.
      document.getElementById('log-out').click()
    },
  }
  told = () => `the page says '${page.text('notice')}' '${page.text('log-in-error')}' ${complaints.join('; ')}`
  return page
}

const hostRow = (page, name) => page.row(`#hosts tr[data-host="${name}"]`)
const leaderOn = page => page.row('#hosts tr[data-coordinator="true"]')?.dataset.host

async function everyHostShowsTheSame() {
  for (const [name, origin] of origins) {
    const page = await open(origin)
    await page.logIn()
    assert.match(page.text('seen-by'), new RegExp(`as host ${name} sees it`))
    await until('all hosts are live', () => facts.hosts.every(h => hostRow(page, h.name)?.dataset.state === 'live'))
    await until('somebody leads, and it is said who says so', () => leaderOn(page) && /a majority of the database's voters says so/.test(page.text('truth')))
    await until('the VM is listed', () => page.row('#vms tr[data-state="Running"]'))
    await until('readiness is told', () => page.rows('readiness').length >= 5)
    page.close()
  }
  step(`opened on ${origins.size} hosts`)
}

async function wrongPasswordsAreRefused() {
  const page = await open([...origins.values()][0])
  page.dom.window.document.getElementById('password').value = 'wrong'
  page.dom.window.document.getElementById('log-in').dispatchEvent(new page.dom.window.Event('submit', { cancelable: true }))
  await until('the refusal is shown', () => /SESSION_AUTHENTICATION_FAILED/.test(page.text('log-in-error')))
  page.close()
  step('a wrong password is refused in words')
}

async function strangersGetNoAnswer() {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'session.login_with_password', params: ['root', 'x', '1.0', 'x'] })
  const response = await fetch(`${[...origins.values()][0]}/jsonrpc`, { method: 'POST', body, headers: { origin: 'https://198.51.100.1' } })
  assert.equal(response.headers.get('access-control-allow-origin'), null)
  step('a page from elsewhere is not let in')
}

async function stoppingTheCoordinatorOffersTheHandOver() {
  const page = await open([...origins.values()][0])
  await page.logIn()
  const leader = await until('somebody leads', () => leaderOn(page))
  await until('acts are offered', () => hostRow(page, leader).querySelector('button'))
  page.press(hostRow(page, leader), 'Shut down')
  assert.match(page.dialog().textContent, /is the pool's coordinator/)
  assert.match(page.dialog().querySelector('button.main').textContent, /^Hand over/)
  page.press(page.dialog(), 'Leave it')
  page.close()
  step('stopping the coordinator warns and offers the hand-over as the default')
}

async function theCoordinatorsPowerIsCut() {
  const probe = await open([...origins.values()][0])
  await probe.logIn()
  const dead = await until('somebody leads', () => leaderOn(probe))
  probe.close()
  const page = await open(origins.get(dead))
  await page.logIn()
  await until('all hosts are live', () => facts.hosts.every(h => hostRow(page, h.name)?.dataset.state === 'live'))
  lab('fail', dead, 'power')
  await until('the page says that its host is silent and who answers', () => /silent/.test(page.text('notice')))
  await until('it shows the dead host as not live', () => hostRow(page, dead).dataset.state === 'not live')
  const next = await until('a survivor leads', () => leaderOn(page) !== dead && leaderOn(page))
  step(`opened on ${dead}, whose power was cut: goes on; ${next} leads`)
  for (const [name, origin] of origins) {
    if (name !== dead) {
      const other = await open(origin)
      await other.logIn()
      await until('the dead host is shown as not live', () => hostRow(other, dead).dataset.state === 'not live')
      await until('the new coordinator is named', () => leaderOn(other) === next)
      await until('what needs you is told', () => /Next:/.test(other.text('findings')))
      const lost = other.row('#vms tr[data-state="unknown"]')
      assert.equal(lost !== null, facts.guestOn === dead, 'a guest is unknown exactly when its host is dead')
      await until('recovery is offered', () => hostRow(other, dead).textContent.includes('Recover'))
      other.close()
    }
  }
  step('each survivor shows it')
  page.press(hostRow(page, dead), 'Recover')
  await until('the plan is shown', () => /Nothing has been changed/.test(page.dialog().textContent))
  page.press(page.dialog(), 'Leave it')
  lab('heal', dead, 'power')
  await until('it is back', () => hostRow(page, dead).dataset.state === 'live', 120e3)
  await until('no VM is unknown', () => page.row('#vms tr[data-state="unknown"]') === null)
  page.close()
  step(`${dead} is back`)
}

await everyHostShowsTheSame()
await wrongPasswordsAreRefused()
await strangersGetNoAnswer()
await stoppingTheCoordinatorOffersTheHandOver()
await theCoordinatorsPowerIsCut()
console.log(`page: all of it took ${((Date.now() - started) / 1e3).toFixed(1)} s`)
process.exit(0)
