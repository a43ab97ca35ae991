// Tells on stdout what is wrong with the OpenAPI document that comes on stdin, and ends with 1; with 0 if it is valid OpenAPI 3.1, all its
// references lead somewhere, and its schemas are JSON Schema.
import { text } from "node:stream/consumers";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv from "ajv/dist/2020.js";

const document = JSON.parse(await text(process.stdin));
const wrong = [];

const validator = new Validator();
const result = await validator.validate(structuredClone(document));
if (!result.valid) wrong.push(result.errors);
else if (validator.version !== "3.1") wrong.push(`the document is OpenAPI ${validator.version}`);

const ajv = new Ajv({ strict: false, validateFormats: false });
ajv.addSchema({ $id: "http://document/api.json", ...document });
const visit = (value, path) => {
  if (value === null || typeof value !== "object") return;
  if (typeof value.$ref === "string") {
    try {
      ajv.compile({ $ref: "http://document/api.json" + value.$ref });
    } catch (e) {
      wrong.push(`${path}: ${value.$ref}: ${e.message}`);
    }
  }
  for (const [key, inner] of Object.entries(value)) {
    if (key === "schema") {
      try {
        ajv.compile(JSON.parse(JSON.stringify(inner).replaceAll('"$ref":"#', '"$ref":"http://document/api.json#')));
      } catch (e) {
        wrong.push(`${path}/schema: ${e.message}`);
      }
    }
    visit(inner, `${path}/${key}`);
  }
};
visit(document, "#");

if (wrong.length > 0) {
  console.log(JSON.stringify(wrong, null, 2));
  process.exit(1);
}
