// Debian's node-eventsource reads streams of `herd serve`; the same protocol as stream_client.py.
//
//     node stream_client.cjs node-eventsource URL MODEL
//
// An EventSource can only GET, so a relay in this process turns its GET into the POST, with node's own fetch, and hands
// the bytes of the answer on as they come.
const http = require('node:http')
const readline = require('node:readline')
const { Readable } = require('node:stream')

let EventSource, version
try {
  EventSource = require('eventsource')
  version = require('eventsource/package.json').version
} catch {
  EventSource = require('/usr/share/nodejs/eventsource')
  version = require('/usr/share/nodejs/eventsource/package.json').version
}

const url = process.argv[3]
const orders = new Map()
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

const relay = http.createServer(async (request, response) => {
  const order = orders.get(decodeURIComponent(request.url.slice(1)))
  try {
    const answer = await fetch(`${url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...order.headers },
      body: JSON.stringify(order.body),
    })
    response.writeHead(answer.status, { 'Content-Type': answer.headers.get('content-type') })
    Readable.fromWeb(answer.body).on('error', () => response.destroy()).pipe(response)
  } catch (error) {
    response.destroy(error)
  }
})

function open(order) {
  let text = ''
  let finish = ''
  let told = false
  orders.set(order.name, order)
  const source = new EventSource(`http://127.0.0.1:${relay.address().port}/${encodeURIComponent(order.name)}`)
  const end = (error) => {
    source.close()
    say({ name: order.name, text, finish, error })
    orders.delete(order.name)
    if (closing && orders.size === 0) process.exit(0)
  }
  source.onmessage = (message) => {
    if (message.data === '[DONE]') return end('')
    let event
    try {
      event = JSON.parse(message.data)
    } catch (error) {
      return end(`JSON: ${error.message}`)
    }
    if (event.error) return end(`ErrorEvent: ${event.error.message}`)
    for (const choice of event.choices) {
      text += choice.delta.content ?? ''
      finish = choice.finish_reason ?? finish
    }
    if (text && !told) {
      told = true
      say({ name: order.name, first: true })
    }
  }
  source.onerror = (error) => end(`EventSource: ${error.message ?? error.status ?? 'the connection broke'}`)
}

let closing = false
relay.requestTimeout = 0
relay.listen(0, '127.0.0.1', () => {
  say({ version: `node ${process.version}, eventsource ${version}` })
  const lines = readline.createInterface({ input: process.stdin })
  lines.on('line', (line) => open(JSON.parse(line)))
  lines.on('close', () => {
    closing = true
    if (orders.size === 0) process.exit(0)
  })
})
