// node manifests.mjs FILE...: validates Kubernetes manifests offline: against the API's schemas, and by TypeScript's types of
// them, which alone notice fields that do not exist. Prints what is wrong.
import { createRequire } from 'node:module'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import yaml from 'js-yaml'
const require = createRequire(import.meta.url)
const models = {
  'apps/v1 Deployment': 'apps/v1', 'v1 Service': 'v1', 'v1 Secret': 'v1', 'v1 ConfigMap': 'v1',
  'policy/v1 PodDisruptionBudget': 'policy/v1', 'networking.k8s.io/v1 Ingress': 'networking.k8s.io/v1'
}
let bad = 0
let count = 0
let typed = ''
for (const file of process.argv.slice(2)) {
  for (const doc of yaml.loadAll(fs.readFileSync(file, 'utf8'))) {
    const name = `${doc.apiVersion} ${doc.kind}`
    if (doc.kind === 'Kustomization') continue
    if (!models[name]) { console.log(`${file}: no schema for ${name}`); bad++; continue }
    const Model = require(`kubernetes-models/${models[name]}`)[doc.kind]
    try {
      new Model(doc).validate()
    } catch (e) {
      console.log(`${file}: ${e.message}`)
      bad++
    }
    typed += `import type {I${doc.kind} as T${count}} from "kubernetes-models/${models[name]}"; export const x${count}: T${count} = ${JSON.stringify(doc)};\n`
    count++
  }
}
const dir = fs.mkdtempSync(new URL('./node_modules/.manifests-', import.meta.url).pathname)
try {
  fs.writeFileSync(`${dir}/check.ts`, typed)
  execFileSync('node', ['node_modules/typescript/bin/tsc', '--noEmit', '--strict', '--skipLibCheck', '--module', 'node16',
    '--moduleResolution', 'node16', `${dir}/check.ts`], { encoding: 'utf8' })
} catch (e) {
  console.log(String(e.stdout).slice(0, 4000))
  bad++
} finally {
  fs.rmSync(dir, { recursive: true })
}
if (count === 0) { console.log('no manifest'); bad++ }
process.exit(bad ? 1 : 0)
