// What one would write in Node.js: fastify, pg with a pool, a prepared statement. Usage: node server.js PORT URI
'use strict'
const fastify = require('fastify')({ logger: false })
const { Pool } = require('pg')
const pool = new Pool({ connectionString: process.argv[3], max: 10 })

fastify.get('/read', async (request) => {
  const { rows } = await pool.query({
    name: 'read', text: 'select id, name, balance from accounts where id = $1', values: [request.query.id]
  })
  return rows
})
fastify.post('/sql', async (request) => {
  const { query, params } = request.body
  const { rows, rowCount, command } = await pool.query({ name: query, text: query, values: params })
  return { rows, rowCount, command }
})
fastify.register(require('./listen'), { connectionString: process.argv[3] })
fastify.listen({ port: Number(process.argv[2]), host: '127.0.0.1' })
