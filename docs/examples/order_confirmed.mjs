// Write each confirmed order to a file, once. All that this knows of the shop is in docs/asyncapi.yaml.
//
//     npm install
//     AMQP_URL=amqp://user:password@127.0.0.1:5672/ node order_confirmed.mjs
//
// It ends if the connection is lost or an order cannot be written: let a supervisor start it again.
import { appendFileSync, readFileSync } from 'node:fs'
import amqp from 'amqplib'

const { AMQP_URL = 'amqp://127.0.0.1:5672/', TRANSPORT_PREFIX = 'shop', ORDERS = 'orders.txt' } = process.env
const { QUEUE = 'warehouse.orders' } = process.env
const UNREADABLE = `${QUEUE}.unreadable`
const QUORUM = { 'x-queue-type': 'quorum' }

// One write records the order and the id of its event. With a database: one transaction, and a unique key for the id.
appendFileSync(ORDERS, '')
const handled = new Set(readFileSync(ORDERS, 'utf8').split('\n').map(line => line.split(' ')[0]))

function read(content) {
  try {
    const { id, data } = JSON.parse(content)
    const lines = data.lines.map(line => `${line.quantity} ${line.sku}`).join(', ')
    return { id, order: `${data.number}: ${lines} for ${data.total} ${data.currency}` } // in minor units
  } catch {
    return null
  }
}

function handle({ id, order }) {
  if (handled.has(id)) return console.log(`repeated: ${id}`)
  appendFileSync(ORDERS, `${id} ${order}\n`, { flush: true })
  handled.add(id)
  console.log(order)
}

const channel = await (await amqp.connect(AMQP_URL)).createChannel()
await channel.assertExchange(UNREADABLE, 'fanout')
await channel.assertQueue(UNREADABLE, { arguments: QUORUM })
await channel.bindQueue(UNREADABLE, UNREADABLE, '')
const extras = { 'x-single-active-consumer': true, 'x-dead-letter-exchange': UNREADABLE }
await channel.assertQueue(QUEUE, { arguments: { ...QUORUM, ...extras } })
await channel.bindQueue(QUEUE, `${TRANSPORT_PREFIX}.events`, '*.orders.order_confirmed')
await channel.prefetch(20)
await channel.consume(QUEUE, message => {
  const event = read(message.content)
  if (!event) return channel.nack(message, false, false) // to UNREADABLE
  handle(event)
  channel.ack(message)
})
console.log(`reading ${QUEUE}`)
