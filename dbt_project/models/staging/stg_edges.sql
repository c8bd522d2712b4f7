select
    key as asset,
    child as child_id,
    parent as parent_id
from {{ source('lake', 'edges') }}
