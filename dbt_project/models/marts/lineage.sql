select distinct
    asset,
    child_id,
    parent_id
from {{ ref('stg_edges') }}
