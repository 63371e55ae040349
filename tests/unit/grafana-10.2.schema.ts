// What a dashboard of Grafana 10.2.2 may hold, from the types that Grafana publishes. grafana-10.2.schema.json is
// made of this file, in a directory of its own:
//
//   npm install @grafana/schema@10.2.2 ts-json-schema-generator@2.4.0
//   npx ts-json-schema-generator --path grafana-10.2.schema.ts --type Document --no-type-check --jsDoc none --minify |
//     jq --compact-output '{"$comment": "From @grafana/schema 10.2.2 with ts-json-schema-generator 2.4.0"} + .'
//
// The published Dashboard leaves the options, the queries and the overrides of panels open; here they are those of
// the plugin. Where Grafana takes something that its published types do not have, a comment says so.
import type * as common from './node_modules/@grafana/schema/dist/esm/common/common.gen';
import type * as raw from './node_modules/@grafana/schema/dist/esm/raw/dashboard/x/dashboard_types.gen';
import type * as stat from './node_modules/@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeseries from './node_modules/@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';
import type * as table from './node_modules/@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as bargauge from './node_modules/@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen';
import type * as statetimeline from './node_modules/@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as logs from './node_modules/@grafana/schema/dist/esm/raw/composable/logs/panelcfg/x/LogsPanelCfg_types.gen';
import type { PrometheusDataQuery } from './node_modules/@grafana/schema/dist/esm/raw/composable/prometheus/dataquery/x/PrometheusDataQuery_types.gen';
import type { LokiDataQuery } from './node_modules/@grafana/schema/dist/esm/raw/composable/loki/dataquery/x/LokiDataQuery_types.gen';

// DataLink of @grafana/data, without what only code can set.
interface DataLink {
  title: string;
  url: string;
  targetBlank?: boolean;
}

interface Prometheus extends Omit<PrometheusDataQuery, 'datasource'> {
  datasource: { type: 'prometheus'; uid: string };
}

interface Loki extends Omit<LokiDataQuery, 'datasource' | 'editorMode'> {
  datasource: { type: 'loki'; uid: string };
}

interface Field<Custom> extends Omit<raw.FieldConfig, 'custom' | 'links'> {
  custom?: Partial<Custom>;
  links?: DataLink[];
}

type Property<T> = { [K in keyof T]-?: { id: K; value: Required<T>[K] } }[keyof T];
type CustomProperty =
  | { id: 'custom.cellOptions'; value: common.TableCellOptions }
  | { id: 'custom.width' | 'custom.minWidth' | 'custom.lineWidth' | 'custom.fillOpacity'; value: number }
  | { id: 'custom.align'; value: common.FieldTextAlignment }
  | { id: 'custom.hidden' | 'custom.filterable' | 'custom.inspect'; value: boolean }
  | { id: 'custom.drawStyle'; value: common.GraphDrawStyle }
  | { id: 'custom.lineStyle'; value: common.LineStyle }
  | { id: 'custom.axisPlacement'; value: common.AxisPlacement }
  | { id: 'custom.axisLabel'; value: string }
  | { id: 'custom.thresholdsStyle'; value: common.GraphThresholdsStyleConfig }
  | { id: 'custom.stacking'; value: common.StackingConfig }
  | { id: 'custom.hideFrom'; value: common.HideSeriesConfig };

interface Override {
  matcher: { id: 'byName' | 'byRegexp' | 'byType' | 'byFrameRefID'; options: string };
  properties: Array<Property<Omit<Field<unknown>, 'custom'>> | CustomProperty>;
}

// Grafana fills in what a plugin's options leave out with the plugin's defaults when it loads the dashboard.
interface Panel<Type extends string, Options, Custom>
  extends Omit<raw.Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> {
  type: Type;
  id: number;
  gridPos: raw.GridPos;
  options: Partial<Options>;
  fieldConfig: { defaults: Field<Custom>; overrides: Override[] };
  targets: Array<Prometheus | Loki>;
}

type Row = Omit<raw.RowPanel, 'panels'> & { panels: [] };

interface Variable extends raw.VariableModel {
  // Of the models of @grafana/data for query, data source and custom variables.
  includeAll?: boolean;
  allValue?: string | null;
  regex?: string;
  // Of interval variables, which Grafana passes over in all others.
  auto?: boolean;
  auto_min?: string;
  auto_count?: number;
}

interface Annotation extends Omit<raw.AnnotationQuery, 'target'> {
  // Those of the Prometheus data source.
  expr: string;
  step?: string;
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
  useValueForTime?: boolean;
}

// The library that writes the dashboards sets these two, which are of Grafana 10.3; 10.2 passes over them.
type BarGauge = bargauge.Options & { sizing?: 'auto' | 'manual'; maxVizHeight?: number };

// "Only required/valid if the type is link", say the published types, and require it of all.
type Link = Omit<raw.DashboardLink, 'url'> & { url?: string };

export interface Document
  extends Omit<raw.Dashboard, 'uid' | 'title' | 'refresh' | 'links' | 'panels' | 'templating' | 'annotations'> {
  uid: string;
  title: string;
  // `string | false` in the published types, of which the generator keeps `false` alone.
  refresh: string;
  links: Link[];
  panels: Array<
    | Row
    | Panel<'stat', stat.Options, never>
    | Panel<'timeseries', timeseries.Options, timeseries.FieldConfig>
    | Panel<'table', table.Options, table.FieldConfig>
    | Panel<'bargauge', BarGauge, never>
    | Panel<'state-timeline', statetimeline.Options, statetimeline.FieldConfig>
    | Panel<'logs', logs.Options, never>
  >;
  templating: { list: Variable[] };
  annotations: { list: Annotation[] };
}
