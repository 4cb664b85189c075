// node openapi.mjs FILE: is it valid OpenAPI 3.1? Prints what is not.
import { Validator } from '@seriousme/openapi-schema-validator'
const validator = new Validator()
const result = await validator.validate(process.argv[2])
if (!result.valid) console.log(JSON.stringify(result.errors, null, 1))
if (validator.version !== '3.1') console.log('version', validator.version)
process.exit(result.valid && validator.version === '3.1' ? 0 : 1)
