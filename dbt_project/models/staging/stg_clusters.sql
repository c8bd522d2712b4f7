select
    id as document_id,
    cluster::integer as cluster,
    similarity::double as similarity,
    split
from {{ source('lake', 'clusterclip__clusters') }}
