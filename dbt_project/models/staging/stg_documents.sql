select
    id as document_id,
    kind,
    package,
    module,
    name,
    n_bytes::bigint as n_bytes
from {{ source('lake', 'corpora__clean_documents') }}
