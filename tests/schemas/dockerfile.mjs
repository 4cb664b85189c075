// node dockerfile.mjs FILE: lints a Dockerfile (the engine of the editors' Docker support). Prints what is wrong.
import { createRequire } from 'node:module'
import fs from 'node:fs'
const { validate } = createRequire(import.meta.url)('dockerfile-utils')
const text = fs.readFileSync(process.argv[2], 'utf8')
const strict = { deprecatedMaintainer: 2, directiveCasing: 2, emptyContinuationLine: 2, instructionCasing: 2, instructionCmdMultiple: 2,
  instructionEntrypointMultiple: 2, instructionHealthcheckMultiple: 2, instructionJSONInSingleQuotes: 2, instructionWorkdirRelative: 2 }
const found = validate(text, strict)
for (const f of found) console.log(`line ${f.range.start.line + 1}: ${f.message}`)
process.exit(found.length ? 1 : 0)
