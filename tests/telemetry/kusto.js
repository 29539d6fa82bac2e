// Reads {tables: {name: {column: type}}, queries: {name: text}} and writes what Microsoft's own parser and binder of
// Kusto (@kusto/language-service-next, whose folder is the argument) says: {name: {mistakes: [text], columns: [[name, type]]}}.
const path = require("path");
const folder = process.argv[2];
require(path.join(folder, "bridge.js"));
require(path.join(folder, "Kusto.Language.Bridge.js"));
const { Symbols } = Kusto.Language;
const { tables, queries } = JSON.parse(require("fs").readFileSync(0, "utf8"));

const listed = (found) => Array.from({ length: found.Count }, (_, index) => found.getItem(index));
const column = ([name, type]) => new Symbols.ColumnSymbol.ctor(name, Symbols.ScalarTypes[type], null, null, null, null);
const table = ([name, columns]) => new Symbols.TableSymbol.$ctor4(name, Object.entries(columns).map(column));
const workspace = new Symbols.DatabaseSymbol.ctor("workspace", Object.entries(tables).map(table));
const world = Kusto.Language.GlobalState.Default.WithDatabase(workspace);

const answer = {};
for (const [name, text] of Object.entries(queries)) {
  const code = Kusto.Language.KustoCode.ParseAndAnalyze(text, world);
  const shown = (one) => `${one.Code} ${one.Message}: ${text.substr(one.Start, Math.min(one.Length, 60))}`;
  const columns = code.ResultType && code.ResultType.Columns ? listed(code.ResultType.Columns) : [];
  answer[name] = {
    mistakes: listed(code.GetDiagnostics()).map(shown),
    columns: columns.map((one) => [one.Name, one.Type.Name]),
  };
}
process.stdout.write(JSON.stringify(answer));
